-- Domains that mail is sent from, their DKIM keys, and what the last check of them found.
-- Ids, nums and times as in 0001.

CREATE TABLE domain (
    num INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,      -- A-labels, lower case
    lifetime_ms INTEGER NOT NULL,   -- of signatures (x=); 0: for good
    checked_at INTEGER NOT NULL,    -- 0: not checked yet
    findings TEXT,                  -- JSON: what the last check found
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE dkim_key (
    id INTEGER PRIMARY KEY,
    domain_num INTEGER NOT NULL,
    selector TEXT NOT NULL,
    algorithm INTEGER NOT NULL,     -- enum dkim_algorithm
    state INTEGER NOT NULL,         -- enum dkim_key_state
    private BLOB NOT NULL,          -- AEAD, see store/secrets.h
    public TEXT NOT NULL,           -- p= of its record
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,    -- of the state
    UNIQUE (domain_num, selector)
);

ALTER TABLE server ADD COLUMN dkim INTEGER NOT NULL DEFAULT 0; -- enum dkim_use
