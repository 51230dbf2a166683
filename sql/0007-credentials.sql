-- Credentials: an application's right to submit by SMTP. A credential is a row of api_key, so that
-- names, nums, limits, routes and reports know it as they know a key, and one here.

ALTER TABLE api_key ADD COLUMN kind INTEGER NOT NULL DEFAULT 0; -- 0: API key, 1: credential

CREATE TABLE credential (
    num INTEGER PRIMARY KEY,        -- of its row in api_key
    group_num INTEGER NOT NULL,
    lane INTEGER NOT NULL,          -- enum lane
    from_domains TEXT,              -- JSON array; NULL: any
    ips TEXT,                       -- JSON array of networks; NULL: any
    size_max INTEGER NOT NULL,      -- bytes of a mail; 0: as the listener says
    salt BLOB NOT NULL,             -- SCRAM-SHA-256 (RFC 7677): what a password is proven with,
    iterations INTEGER NOT NULL,    -- and never the password
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL
);
