/* Private to store/: rows to JSON, pages, read transactions; what all that look up by name say. */
#ifndef STORE_REPORTS_PARTS_H
#define STORE_REPORTS_PARTS_H

#include "store/message_view.h"
#include "store/reports.h"

/* Text of a column or slice; bad UTF-8 becomes U+FFFD; no pointer becomes null. */
json_t *part_text(struct str s) MUST_USE;
json_t *part_column(struct stmt *s, int col) MUST_USE;
json_t *part_time(int64_t wall_ms) MUST_USE;          /* RFC 3339; 0: null */
json_t *part_json(struct stmt *s, int col) MUST_USE;  /* a column that holds JSON; NULL: null */
json_t *part_lines(struct stmt *s, int col) MUST_USE; /* a list of its lines; NULL: [] */
/* The name something has or, once removed (under a suffix), had. */
json_t *part_name(struct stmt *s, int name_col, int removed_col);
json_t *part_id(const char *prefix, uint64_t id) MUST_USE;
json_t *part_count(uint64_t n, bool zero_is_null) MUST_USE;

/* Begins a read transaction unless one is open; part_end ends only what was begun here. */
bool part_begin(struct db *db, bool *begun_out, struct err *e) MUST_USE;
void part_end(struct db *db, bool begun);

uint64_t part_limit(const struct report_page *p);
/* Turns the row that stands into JSON; may run other statements. NULL: not for this page. */
typedef json_t *part_make(void *arg, struct db *db, struct stmt *s);
/* Runs a query for one page: column key_col is the cursor. The query must be ordered by that
 * column and ask for limit + 1 rows, or for all when *make leaves some out. */
bool part_page(struct db *db, struct stmt *s, uint64_t limit, int key_col, part_make *make,
               void *arg, json_t **out, struct err *e) MUST_USE;
/* The whole of it for a query whose $1 is the cursor (a text; p->after or "") and $2 the rows. */
bool part_select(struct db *db, const char *sql, const struct report_page *p, int key_col,
                 part_make *make, void *arg, json_t **out, struct err *e) MUST_USE;
/* The one row whose key is $1; ERR_NOT_FOUND "WHAT "NAME": there is none". */
bool part_select_one(struct db *db, const char *sql, const char *what, const char *name,
                     part_make *make, void *arg, json_t **out, struct err *e) MUST_USE;
json_t *part_page_of(json_t *data, json_t *next) MUST_USE; /* steals both */
/* The number that a query gives for a name ($1); 0 for NULL; ERR_NOT_FOUND as part_row. */
bool part_num_of(struct db *db, const char *sql, const char *what, const char *name, int64_t *out,
                 struct err *e) MUST_USE;
/* All messages to an address (its key) by id, of this campaign or (0) any; at most 10,000. The
 * caller frees *out, on false too. */
bool part_messages_to(struct db *db, const char *key, int64_t campaign_num,
                      struct message_view **out, size_t *n_out, struct err *e) MUST_USE;
/* ---- what was planned (reports_plan.c) */

struct plan_group {
    int64_t num, sent; /* messages that its servers carried */
    double share;      /* planned, of the campaign */
};
struct plan {
    struct plan_group *groups;
    size_t n;
};
/* given: the "groups" of core's live.plan; NULL: no routes. plan_free frees it, on false too. */
bool plan_read(struct db *db, int64_t campaign_num, const json_t *given, struct plan *p,
               struct err *e) MUST_USE;
void plan_free(struct plan *p);
/* The servers of a group with their planned shares of the campaign; negative: the group's strategy
 * finds out by itself. */
bool plan_servers(struct db *db, const struct plan_group *g,
                  void (*each)(void *arg, int64_t server_num, double share), void *arg,
                  struct err *e) MUST_USE;
/* [{"group","sent","share","planned_share"}] */
json_t *plan_groups_json(struct db *db, const struct plan *p) MUST_USE;

double part_share(double x); /* rounded to four places */
/* One row: ERR_NOT_FOUND "WHAT NAME: there is none" when absent. */
bool part_row(struct stmt *s, const char *what, const char *name, struct err *e) MUST_USE;

#endif
