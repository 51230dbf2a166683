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

-- ---- whose fault

CREATE TABLE suspect (              -- servers whose word about recipients is not taken
    server_num INTEGER PRIMARY KEY,
    verdict INTEGER NOT NULL,       -- what they say too often: enum verdict
    since INTEGER NOT NULL,         -- wall ms: what they suppressed from here on is taken back
    until INTEGER NOT NULL,         -- steady wall ms of their probation
    reverting INTEGER NOT NULL,     -- 1: not all is taken back yet; 2: nor that, but believed again
    reason TEXT NOT NULL
);
CREATE INDEX queue_server ON queue (server_num) WHERE server_num <> 0;

-- ---- routes

CREATE TABLE route (                -- in the order of position; the first that matches names the group
    num INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    position INTEGER NOT NULL,
    group_num INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE TABLE route_term (           -- one allowed value of one condition; see model/route.h
    route_num INTEGER NOT NULL,
    position INTEGER NOT NULL,
    field INTEGER NOT NULL,         -- enum route_field
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    text TEXT,
    PRIMARY KEY (route_num, position)
) WITHOUT ROWID;
ALTER TABLE message ADD COLUMN tags TEXT;                              -- one a line
ALTER TABLE message ADD COLUMN size INTEGER NOT NULL DEFAULT 0;         -- bytes; 0: not kept
ALTER TABLE campaign ADD COLUMN tags TEXT;
ALTER TABLE list ADD COLUMN group_num INTEGER NOT NULL DEFAULT 0;      -- 0: none
ALTER TABLE server_group ADD COLUMN nearest INTEGER NOT NULL DEFAULT 0; -- nearest region first
ALTER TABLE api_key ADD COLUMN num INTEGER NOT NULL DEFAULT 0;         -- credential of messages
UPDATE api_key SET num = (SELECT count(*) FROM api_key k WHERE k.id <= api_key.id);

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

CREATE TABLE server_hour (          -- what became of attempts: gates of warm-up, reputation
    server_num INTEGER NOT NULL,
    start INTEGER NOT NULL,         -- steady wall ms, whole hours
    provider TEXT NOT NULL,         -- mailbox provider, "other" too
    taken INTEGER NOT NULL,         -- as the server's limits count
    attempts INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    hard INTEGER NOT NULL,          -- by verdict, whatever became of the message
    soft INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    limited INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    content INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    complaints INTEGER NOT NULL DEFAULT 0,
    opened INTEGER NOT NULL DEFAULT 0,
    clicked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (server_num, start, provider)
) WITHOUT ROWID;

CREATE TABLE warmup (
    server_num INTEGER PRIMARY KEY,
    plan TEXT NOT NULL,             -- JSON: caps of each day, gate, audience (engine/warmup_plan.h)
    state INTEGER NOT NULL,         -- enum warmup_state
    why TEXT NOT NULL,              -- who holds it, or what asks for a new one
    opened_at INTEGER NOT NULL,     -- the day that runs, steady wall ms; 0: not opened yet
    closes_at INTEGER NOT NULL,
    classes INTEGER NOT NULL,       -- mask of engagement classes of that day
    last_sent_at INTEGER NOT NULL,  -- begin of the last day with a message; 0: none yet
    started_at INTEGER NOT NULL
);

CREATE TABLE warmup_line (          -- where the server, and a mailbox provider there, stands
    server_num INTEGER NOT NULL,
    provider TEXT NOT NULL,         -- '' : the server
    day INTEGER NOT NULL,           -- of sending, 1 first
    cap INTEGER NOT NULL,           -- of the day that runs
    why TEXT NOT NULL,              -- what the last day led to
    PRIMARY KEY (server_num, provider)
) WITHOUT ROWID;

CREATE TABLE warmup_day (           -- days that are over
    server_num INTEGER NOT NULL,
    provider TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    day INTEGER NOT NULL,
    cap INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    answers INTEGER NOT NULL,
    hard INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    complaints INTEGER NOT NULL,
    move INTEGER NOT NULL,          -- enum warmup_move
    why TEXT NOT NULL,
    PRIMARY KEY (server_num, provider, opened_at)
) WITHOUT ROWID;

-- ---- reputation

CREATE TABLE reputation_rule (      -- the user's; one of a built-in's name stands in its place
    name TEXT PRIMARY KEY,
    enabled INTEGER NOT NULL,
    condition TEXT NOT NULL,        -- fleet/reputation.h
    by_provider INTEGER NOT NULL,   -- looked at for each mailbox provider of a server
    window_ms INTEGER NOT NULL,
    volume INTEGER NOT NULL,        -- answers below which no rate is judged
    action INTEGER NOT NULL,        -- enum reputation_action
    weight REAL NOT NULL,
    duration_ms INTEGER NOT NULL,   -- 0: till released
    cooldown_ms INTEGER NOT NULL,
    approval INTEGER NOT NULL       -- 1: waits for the user's word
) WITHOUT ROWID;

CREATE TABLE reputation_standing (  -- servers that are not in good standing
    server_num INTEGER NOT NULL,
    provider TEXT NOT NULL,         -- '' : the server
    stage INTEGER NOT NULL,         -- enum reputation_stage
    worst INTEGER NOT NULL,
    weight REAL NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    times INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (server_num, provider)
) WITHOUT ROWID;

CREATE TABLE reputation_action (    -- what rules did or want to do
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    server_num INTEGER NOT NULL,
    provider TEXT NOT NULL,
    rule TEXT NOT NULL,
    action INTEGER NOT NULL,
    state TEXT NOT NULL,            -- done, pending, approved, dismissed
    reason TEXT NOT NULL
);
CREATE INDEX reputation_action_server ON reputation_action (server_num, at);

CREATE TABLE reputation_signal (    -- what is said of a server elsewhere: blocklists, seed mailboxes
    server_num INTEGER NOT NULL,
    kind TEXT NOT NULL,             -- dnsbl, inbound
    source TEXT NOT NULL,
    value REAL NOT NULL,
    times INTEGER NOT NULL,         -- said in a row
    at INTEGER NOT NULL,
    PRIMARY KEY (server_num, kind, source)
) WITHOUT ROWID;

-- ---- servers taken out by the user's word

CREATE TABLE quarantine (
    server_num INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    until INTEGER,                  -- wall ms; NULL: until released
    at INTEGER NOT NULL
) WITHOUT ROWID;

-- ---- looking: attempts that were not accepted (verdict 1 is accepted, 0 no attempt)

CREATE INDEX result_trouble ON result (at) WHERE verdict > 1;

-- What a server sent in all, without reading the counts of every campaign.
CREATE INDEX tally_server ON tally (server_num, kind) WHERE provider = '';
