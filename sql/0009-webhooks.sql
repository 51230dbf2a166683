-- Webhooks out: who is told of what, how far each has come, what is to be tried again, and what
-- became of each delivery. Ids, nums and times as in 0001.

CREATE TABLE webhook (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    secret BLOB NOT NULL,           -- AEAD, see store/secrets.h
    old_secret BLOB,                -- signs beside it until old_until; NULL: none
    old_until INTEGER NOT NULL,     -- wall ms
    events TEXT,                    -- one a line: "message.bounced", "campaign.*"; NULL: all
    servers TEXT,                   -- names, one a line; NULL: any
    groups TEXT,
    tags TEXT,
    allow_private INTEGER NOT NULL, -- 1: addresses of private networks may be asked
    state INTEGER NOT NULL,         -- enum webhook_state
    state_reason TEXT,
    state_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE webhook_place (        -- all before is delivered, waits in webhook_wait, or is not wanted
    webhook_id INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL,      -- of table event
    message_id INTEGER NOT NULL,    -- of table message
    log_seq INTEGER NOT NULL,       -- of table outcome_log: rows up to this one are through
    log_at INTEGER NOT NULL,        -- entries of the next row that are through
    delivered INTEGER NOT NULL,     -- so far, for people
    failed INTEGER NOT NULL,        -- attempts that did not go through
    skipped INTEGER NOT NULL,       -- events that were too old when their turn came, or given up
    failing_since INTEGER NOT NULL  -- wall ms of the first of the failures in a row; 0: none
);

CREATE TABLE webhook_wait (         -- deliveries to be tried again, or asked for by hand
    webhook_id INTEGER NOT NULL,
    event TEXT NOT NULL,            -- its id: it says what the event was
    attempts INTEGER NOT NULL,      -- made so far
    due INTEGER NOT NULL,           -- wall ms
    PRIMARY KEY (webhook_id, event)
) WITHOUT ROWID;
CREATE INDEX webhook_wait_due ON webhook_wait (webhook_id, due);

CREATE TABLE webhook_log (          -- every attempt to deliver; the newest of each webhook are kept
    id INTEGER PRIMARY KEY,
    webhook_id INTEGER NOT NULL,
    event TEXT NOT NULL,
    type TEXT NOT NULL,             -- "message.bounced"
    at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,       -- 1 first
    status INTEGER NOT NULL,        -- of HTTP; 0: no answer
    ms INTEGER NOT NULL,
    detail TEXT NOT NULL,           -- what went wrong; '': delivered
    reply TEXT,                     -- first bytes of the answer
    next_at INTEGER NOT NULL        -- wall ms of the next attempt; 0: none
);
CREATE INDEX webhook_log_of ON webhook_log (webhook_id, id);

CREATE TABLE outcome_log (          -- ends and deferrals of messages in the order they were written,
    seq INTEGER PRIMARY KEY,        -- a row a batch, only while there is a webhook that wants them
    at INTEGER NOT NULL,
    n INTEGER NOT NULL,
    ids BLOB NOT NULL,              -- message ids: varint deltas
    marks BLOB NOT NULL             -- of each: number of the attempt * 16 + enum hook_event
);
