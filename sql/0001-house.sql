-- The first schema. One text for SQLite and PostgreSQL in all but DDL words. Ids are ours, times are
-- epoch milliseconds. "num" columns are small numbers, never reused: the journal carries them.

CREATE TABLE setting (              -- epoch, node, clock anchor, pause, public_url ...
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE server (
    num INTEGER PRIMARY KEY,        -- 1..65535
    id INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    tls INTEGER NOT NULL,           -- enum tls_mode
    tls_verify INTEGER NOT NULL,
    user_name TEXT,
    password BLOB,                  -- AEAD, see store/secrets.h
    from_address TEXT,
    reply_to TEXT,
    return_path TEXT,
    helo TEXT,
    per_second INTEGER NOT NULL,
    per_minute INTEGER NOT NULL,
    per_hour INTEGER NOT NULL,
    per_day INTEGER NOT NULL,
    per_month INTEGER NOT NULL,
    calendar TEXT,
    pause_between_ms INTEGER NOT NULL,
    counts INTEGER NOT NULL,
    max_connections INTEGER NOT NULL,
    max_messages_per_connection INTEGER NOT NULL,
    connect_timeout_ms INTEGER NOT NULL,
    reply_timeout_ms INTEGER NOT NULL,
    dot_timeout_ms INTEGER NOT NULL,
    chunking_off INTEGER NOT NULL,
    region TEXT,
    ip_type TEXT,
    cost_per_1000 REAL NOT NULL,
    provider TEXT,
    profile TEXT,
    headers TEXT,                   -- JSON array of "Name: value"
    from_domains TEXT,              -- JSON array
    notes TEXT,
    admin INTEGER NOT NULL,         -- enum admin_state
    removed_at INTEGER,             -- kept for its results; the name is freed by a suffix
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE server_group (
    num INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    strategy INTEGER NOT NULL,
    at_limit INTEGER NOT NULL,
    shares INTEGER NOT NULL,
    sticky INTEGER NOT NULL,
    removed_at INTEGER,
    created_at INTEGER NOT NULL
);

CREATE TABLE group_fallback (
    group_num INTEGER NOT NULL,
    position INTEGER NOT NULL,
    fallback_num INTEGER NOT NULL,
    PRIMARY KEY (group_num, position)
) WITHOUT ROWID;

CREATE TABLE membership (
    group_num INTEGER NOT NULL,
    server_num INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    PRIMARY KEY (group_num, server_num)
) WITHOUT ROWID;
CREATE INDEX membership_server ON membership (server_num);

CREATE TABLE list (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    members INTEGER NOT NULL,       -- kept in the transaction of the memberships
    unsubscribed INTEGER NOT NULL   -- of them
);

CREATE TABLE contact_field (        -- names of fields ever seen: the columns of an export
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE contact (
    id INTEGER PRIMARY KEY,         -- dense: 1, 2, 3 ... (the audience bitmap counts on it)
    email TEXT NOT NULL UNIQUE,     -- the key of mail/addr.h
    address TEXT,                   -- as given, when it differs from the key
    fields TEXT,                    -- JSON object of strings; NULL: none
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE list_member (
    list_id INTEGER NOT NULL,
    contact_id INTEGER NOT NULL,
    since INTEGER NOT NULL,
    unsubscribed_at INTEGER,        -- NULL: subscribed
    PRIMARY KEY (list_id, contact_id)
) WITHOUT ROWID;

CREATE TABLE suppression (
    address TEXT PRIMARY KEY,       -- the key of mail/addr.h
    reason TEXT NOT NULL,           -- hard_bounce, complaint, unsubscribe, manual, soft_bounces
    source TEXT NOT NULL,           -- campaign, message, import, user ... for people
    since INTEGER NOT NULL,
    provisional_until INTEGER,      -- NULL: settled
    server_num INTEGER,
    message_id INTEGER
) WITHOUT ROWID;
CREATE INDEX suppression_server ON suppression (server_num, since) WHERE server_num IS NOT NULL;
CREATE INDEX suppression_provisional ON suppression (provisional_until)
    WHERE provisional_until IS NOT NULL;

CREATE TABLE soft_bounce (          -- distinct messages that soft-bounced, per address
    address TEXT NOT NULL,
    message_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (address, message_id)
) WITHOUT ROWID;

CREATE TABLE template (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    html TEXT,
    text TEXT,
    markdown TEXT,                  -- the source html was made from
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE campaign (
    num INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    list_id INTEGER NOT NULL,
    template_id INTEGER NOT NULL,
    group_num INTEGER NOT NULL,     -- 0: default
    lane INTEGER NOT NULL,
    from_address TEXT,
    reply_to TEXT,
    deadline INTEGER,
    state INTEGER NOT NULL,         -- enum campaign_state
    state_reason TEXT,
    contact_max INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    walked INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    leased INTEGER NOT NULL,        -- contacts given a message so far
    subject TEXT,
    html TEXT,
    text TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER
);

CREATE TABLE audience (             -- contacts of a campaign that have a message: a bit each
    campaign_num INTEGER NOT NULL,
    page INTEGER NOT NULL,          -- contact id / 32768
    bits BLOB NOT NULL,             -- 4096 bytes
    PRIMARY KEY (campaign_num, page)
) WITHOUT ROWID;

CREATE TABLE lease (                -- up to 500 messages this node works on, or has worked on
    first_id INTEGER PRIMARY KEY,   -- campaign: message id = first_id + position; queue: own id
    campaign_num INTEGER NOT NULL,  -- 0: messages of the queue
    n INTEGER NOT NULL,
    ids BLOB NOT NULL,              -- contact ids (campaign) or message ids (queue): varint deltas
    low INTEGER NOT NULL,           -- smallest and highest of ids
    high INTEGER NOT NULL,
    node INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    open INTEGER NOT NULL,          -- 1: some message may be without a durable result
    created_at INTEGER NOT NULL
);
CREATE INDEX lease_open ON lease (open, first_id) WHERE open = 1;
CREATE INDEX lease_contact ON lease (campaign_num, high);

CREATE TABLE message (              -- single messages (campaign ones live in leases)
    id INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,
    group_num INTEGER NOT NULL,
    from_address TEXT NOT NULL,     -- envelope
    rcpt TEXT NOT NULL,
    rcpt_key TEXT NOT NULL,
    header_from TEXT,
    subject TEXT,
    message_id TEXT NOT NULL,       -- of the header, without brackets
    facts INTEGER NOT NULL,         -- 1: 8-bit, 2: SMTPUTF8, 4: leading dot
    body BLOB,                      -- up to 64 KB; else NULL and in the spool under its id
    expires_at INTEGER,
    created_at INTEGER NOT NULL
);
CREATE INDEX message_rcpt ON message (rcpt_key);

CREATE TABLE queue (                -- what waits: single messages, and campaign messages tried before
    id INTEGER PRIMARY KEY,         -- message id
    lane INTEGER NOT NULL,
    due INTEGER NOT NULL,           -- wall ms; held: 9223372036854775807
    campaign_num INTEGER NOT NULL,
    group_num INTEGER NOT NULL,
    contact_id INTEGER NOT NULL,    -- campaign messages
    attempts INTEGER NOT NULL,      -- that count against the schedule
    tries INTEGER NOT NULL,         -- all results so far: the next attempt is n = tries + 1
    resends INTEGER NOT NULL,       -- after uncertain
    server_num INTEGER NOT NULL,    -- 0, or the server that must be kept (greylisting)
    first_at INTEGER NOT NULL,      -- of the first attempt or the acceptance: age counts from here
    expires_at INTEGER,
    why TEXT                        -- what it waits for, or who held it and why
);
CREATE INDEX queue_due ON queue (lane, due);
CREATE INDEX queue_campaign ON queue (campaign_num);

CREATE TABLE result (               -- the attempt, append-only; the highest n of a message is its state
    message_id INTEGER NOT NULL,
    n INTEGER NOT NULL,
    server_num INTEGER NOT NULL,
    state INTEGER NOT NULL,         -- enum message_state the message took
    verdict INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    hard INTEGER NOT NULL,
    code INTEGER NOT NULL,
    enhanced TEXT,                  -- "5.1.1"
    at INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    rule TEXT,
    reply TEXT,
    why TEXT,
    conversation TEXT,
    PRIMARY KEY (message_id, n)
) WITHOUT ROWID;

CREATE TABLE tally (                -- counts of results, kept in the transaction of the results
    campaign_num INTEGER NOT NULL,  -- 0: single messages
    server_num INTEGER NOT NULL,    -- 0: messages by state; else attempts on that server
    provider TEXT NOT NULL,         -- '' : all; else a mailbox provider
    kind INTEGER NOT NULL,          -- store/tally.h
    n INTEGER NOT NULL,
    PRIMARY KEY (campaign_num, server_num, provider, kind)
) WITHOUT ROWID;

CREATE TABLE usage (                -- what each server was used, by span: quotas and reports
    server_num INTEGER NOT NULL,
    span_s INTEGER NOT NULL,        -- 60, 3600, 86400
    start INTEGER NOT NULL,         -- steady wall ms, aligned to the span
    taken INTEGER NOT NULL,         -- as the server's limit counts
    attempts INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    PRIMARY KEY (server_num, span_s, start)
) WITHOUT ROWID;

CREATE TABLE event (                -- what happened to servers, campaigns ...: one door, with reason
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,             -- "server.opened"
    subject TEXT NOT NULL,          -- name
    reason TEXT NOT NULL,
    data TEXT                       -- JSON
);

CREATE TABLE api_key (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    hint TEXT NOT NULL,             -- first characters, for people
    hash BLOB NOT NULL UNIQUE,      -- BLAKE2b-256 of the key
    test INTEGER NOT NULL,
    scopes TEXT NOT NULL,           -- JSON array
    groups TEXT,                    -- JSON array; NULL: all
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
);
