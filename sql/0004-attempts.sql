-- What is asked afterwards: which group and rule an attempt went by, and attempts in their order.

ALTER TABLE result ADD COLUMN group_num INTEGER; -- whose server it was given to; NULL: not known
ALTER TABLE result ADD COLUMN route_num INTEGER; -- the rule that led there; NULL: none

CREATE TABLE campaign_group (       -- messages sent, by the group that carried them
    campaign_num INTEGER NOT NULL,
    group_num INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    PRIMARY KEY (campaign_num, group_num)
) WITHOUT ROWID;

CREATE TABLE attempt_log (          -- results in the order they were written: a row a batch
    seq INTEGER PRIMARY KEY,
    low_at INTEGER NOT NULL,        -- of its attempts, wall ms
    high_at INTEGER NOT NULL,
    n INTEGER NOT NULL,
    ids BLOB NOT NULL,              -- message ids: varint deltas
    numbers BLOB                    -- which attempt of each, the same way; NULL: the first of all
);
CREATE INDEX attempt_log_at ON attempt_log (high_at, low_at);
