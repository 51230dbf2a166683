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
