-- From the acceptance of a single message to the 250 of the server that took it: how many messages
-- of a credential waited how long, by ten minutes and stream. Kept for a day.

CREATE TABLE latency (
    credential_num INTEGER NOT NULL, -- api_key.num; 0: of nobody's (the command line)
    start INTEGER NOT NULL,          -- wall ms of the 250, down to ten minutes
    lane INTEGER NOT NULL,
    bucket INTEGER NOT NULL,         -- store/latency.h
    n INTEGER NOT NULL,
    PRIMARY KEY (credential_num, start, lane, bucket)
) WITHOUT ROWID;
