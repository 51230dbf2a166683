-- Servers closed to a mailbox provider after its refusals; see store/cells.h.
CREATE TABLE server_cell (
    server_num INTEGER NOT NULL,
    provider TEXT NOT NULL,
    until INTEGER NOT NULL,         -- steady ms: one message tries it then
    openings INTEGER NOT NULL,      -- in a row
    reason TEXT NOT NULL,
    PRIMARY KEY (server_num, provider)
) WITHOUT ROWID;
