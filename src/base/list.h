/* Intrusive doubly linked list; the node lives inside its owner. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_between(struct list *n, struct list *prev, struct list *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

static inline void list_push_back(struct list *l, struct list *n)
{
    list_insert_between(n, l->prev, l);
}

static inline void list_push_front(struct list *l, struct list *n)
{
    list_insert_between(n, l, l->next);
}

/* Safe on a node that is in no list (initialised or removed before). */
static inline void list_remove(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

static inline struct list *list_pop_front(struct list *l)
{
    struct list *n = l->next;
    if (n == l)
        return NULL;
    list_remove(n);
    return n;
}

#define list_entry(n, type, member) container_of(n, type, member)
#define list_first(l, type, member) (list_empty(l) ? NULL : list_entry((l)->next, type, member))
#define list_each(it, l)            for (struct list *it = (l)->next; it != (l); it = it->next)
/* The current node may be removed while walking. */
#define list_each_safe(it, l)                                                                      \
    for (struct list *it = (l)->next, *it##_next = it->next; it != (l);                            \
         it = it##_next, it##_next = it->next)

#endif
