-- Dispatcher: limits beyond a server's own, routes, the failure matrix, warm-up, reputation.
-- Ids, nums and times as in 0001.

-- ---- limits

CREATE TABLE limit_rule (           -- pace and quotas beside those of servers
    kind INTEGER NOT NULL,          -- enum limit_kind
    num INTEGER NOT NULL,           -- of the group, campaign, credential or server; 0: none
    provider TEXT NOT NULL,         -- mailbox provider; '' : none
    per_second INTEGER NOT NULL,
    per_minute INTEGER NOT NULL,
    per_hour INTEGER NOT NULL,
    per_day INTEGER NOT NULL,
    per_month INTEGER NOT NULL,
    calendar TEXT,
    spread INTEGER NOT NULL,        -- enum spread
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, num, provider)
) WITHOUT ROWID;

CREATE TABLE limit_usage (          -- what was taken of each, by span, as in usage
    kind INTEGER NOT NULL,
    num INTEGER NOT NULL,
    provider TEXT NOT NULL,
    span_s INTEGER NOT NULL,
    start INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    PRIMARY KEY (kind, num, provider, span_s, start)
) WITHOUT ROWID;

-- ---- groups and servers

ALTER TABLE server ADD COLUMN spread INTEGER NOT NULL DEFAULT 0;             -- enum spread
ALTER TABLE server ADD COLUMN included_per_month INTEGER NOT NULL DEFAULT 0; -- paid for already
ALTER TABLE server_group ADD COLUMN rotate_active INTEGER NOT NULL DEFAULT 0; -- k of n; 0: all
ALTER TABLE server_group ADD COLUMN rotate_every_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE server_group ADD COLUMN rotate_messages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE membership ADD COLUMN role INTEGER NOT NULL DEFAULT 0; -- enum role: active, reserve, resting
ALTER TABLE message ADD COLUMN credential_num INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN credential_num INTEGER NOT NULL DEFAULT 0;

-- ---- routes

-- ---- failover

CREATE TABLE failover (             -- settings of a group's failure matrix; 0: as by default
    group_num INTEGER PRIMARY KEY,
    tries_per_round INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    first_delay_ms INTEGER NOT NULL,
    max_delay_ms INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE failover_rule (        -- first match wins
    group_num INTEGER NOT NULL,
    position INTEGER NOT NULL,
    rule TEXT NOT NULL,             -- "552 -> next_server"
    PRIMARY KEY (group_num, position)
) WITHOUT ROWID;

CREATE TABLE failover_server (      -- asked first once a server has failed
    group_num INTEGER NOT NULL,
    position INTEGER NOT NULL,
    server_num INTEGER NOT NULL,
    PRIMARY KEY (group_num, position)
) WITHOUT ROWID;

-- ---- warm-up

-- ---- reputation

