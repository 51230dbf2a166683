-- DSN parameters (RFC 3461) that came with a message by submission, and go on to the next server:
-- RET, ENVID, NOTIFY, ORCPT, a line each, an empty one for what was not said. NULL: none of them.

ALTER TABLE message ADD COLUMN dsn TEXT;
