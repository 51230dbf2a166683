/* What is counted, and where: rows of table `tally`, kept in the transaction of the results.
 * With server_num 0 a kind counts messages of the campaign by the state they are in; with a server
 * it counts attempts on that server. Kinds are stored: they never change. */
#ifndef STORE_TALLY_H
#define STORE_TALLY_H

enum tally_kind {
    TALLY_SENT = 1,
    TALLY_BOUNCED_HARD = 2,
    TALLY_BOUNCED_SOFT = 3,
    TALLY_FAILED = 4, /* attempts: ended without the message moving on, server's fault too */
    TALLY_UNCERTAIN = 5,
    TALLY_SUPPRESSED = 6,
    TALLY_CANCELLED = 7,
    TALLY_EXPIRED = 8,
    TALLY_DEFERRED = 9, /* messages: waiting now and tried at least once; attempts: deferred */
    TALLY_BOUNCED_LATER = 10,
    TALLY_DELIVERED = 11,
    TALLY_OPENED = 12,
    TALLY_CLICKED = 13,
    TALLY_COMPLAINED = 14,
    TALLY_UNSUBSCRIBED = 15,
    TALLY_FAILOVER = 16, /* attempts: the message went to another server at once */
};

#endif
