-- Applications: what mail brought in by HTTP and SMTP needs. Ids, nums and times as in 0001.

-- ---- messages

ALTER TABLE message ADD COLUMN body_of INTEGER NOT NULL DEFAULT 0; -- whose body it has; 0: its own
ALTER TABLE message ADD COLUMN metadata TEXT;                      -- JSON object of the application's

CREATE TABLE idempotency (          -- what a request with an Idempotency-Key was answered, for a day
    credential_num INTEGER NOT NULL, -- of whoever asked; 0: by the socket
    idempotency_key TEXT NOT NULL,
    part INTEGER NOT NULL,          -- first message of it: a batch is taken in bites
    request BLOB NOT NULL,          -- BLAKE2b-256 of the request
    answer TEXT NOT NULL,           -- JSON
    created_at INTEGER NOT NULL,
    PRIMARY KEY (credential_num, idempotency_key, part)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- ---- who did what

CREATE TABLE audit (                -- every change that was asked for; each row proves those before it
    seq INTEGER PRIMARY KEY,        -- 1, 2, 3 ... without gaps
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    op TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,           -- JSON of what was asked, without secrets and contents
    mac BLOB NOT NULL               -- keyed BLAKE2b-256 over the row and the mac before it
);

CREATE TABLE user_account (
    num INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    role INTEGER NOT NULL,          -- enum user_role
    password TEXT NOT NULL,         -- Argon2id, as libsodium writes it
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_login_at INTEGER,
    revoked_at INTEGER              -- the name is freed by a suffix
);

CREATE TABLE session (              -- logins; a token is known by its hash only
    hash BLOB PRIMARY KEY,          -- BLAKE2b-256
    user_num INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_user ON session (user_num);
