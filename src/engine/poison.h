/* The page that parent and core share (a memfd, passed by its number): which messages lie on desks,
 * and which were on one when core crashed. Core writes desk[], the parent writes marked[] while no
 * core runs. Two marks hold a message: it would bring core down again. */
#ifndef ENGINE_POISON_H
#define ENGINE_POISON_H

#include <stdatomic.h>

#include "base/base.h"

#define POISON_MAGIC   0x50464d31u /* "PFM1" */
#define POISON_DESKS   64          /* desk threads at most */
#define POISON_SLOTS   512
#define POISON_HOLD_AT 2 /* marks that hold a message */

struct poison_slot {
    uint64_t message_id; /* 0: free */
    uint32_t marks;
    uint32_t at; /* order of marking, to replace the oldest when all are taken */
};

struct poison_page {
    uint32_t magic;
    uint32_t crashes;             /* crashes of core under this parent */
    _Atomic uint32_t is_released; /* the user let held sending go: the next start is normal */
    _Atomic uint64_t desk[POISON_DESKS]; /* id of the message on each desk; 0: none */
    struct poison_slot marked[POISON_SLOTS];
};

/* A desk takes a message up and puts it down again; page NULL (no parent) does nothing. */
static inline void poison_take(struct poison_page *page, unsigned desk, uint64_t message_id)
{
    if (page && desk < POISON_DESKS)
        atomic_store_explicit(&page->desk[desk], message_id, memory_order_release);
}

static inline void poison_put(struct poison_page *page, unsigned desk)
{
    poison_take(page, desk, 0);
}

/* Core, when the user resumes sending that was held after crashes. */
static inline void poison_release(struct poison_page *page)
{
    if (page)
        atomic_store_explicit(&page->is_released, 1, memory_order_release);
}

/* How often core crashed with this message on a desk. */
static inline uint32_t poison_marks(const struct poison_page *page, uint64_t message_id)
{
    for (unsigned i = 0; page && message_id && i < POISON_SLOTS; i++)
        if (page->marked[i].message_id == message_id)
            return page->marked[i].marks;
    return 0;
}

static inline bool poison_holds(const struct poison_page *page, uint64_t message_id)
{
    return poison_marks(page, message_id) >= POISON_HOLD_AT;
}

/* One mark more; the slot that was marked longest ago is reused when all are taken. */
static inline void poison_mark(struct poison_page *page, uint64_t message_id)
{
    struct poison_slot *to = &page->marked[0];
    for (unsigned i = 0; i < POISON_SLOTS; i++) {
        struct poison_slot *s = &page->marked[i];
        if (s->message_id == message_id) {
            s->marks++;
            s->at = page->crashes;
            return;
        }
        bool better =
            s->message_id == 0 ? to->message_id != 0 : to->message_id != 0 && s->at < to->at;
        if (better)
            to = s;
    }
    *to = (struct poison_slot){.message_id = message_id, .marks = 1, .at = page->crashes};
}

/* The parent, after a crash of core: what lay on desks is marked, the desks are emptied. */
static inline void poison_note_crash(struct poison_page *page)
{
    page->crashes++;
    for (unsigned i = 0; i < POISON_DESKS; i++) {
        uint64_t id = atomic_exchange_explicit(&page->desk[i], 0, memory_order_acq_rel);
        if (id)
            poison_mark(page, id);
    }
}

/* The parent, after an end that was no crash: the desks are emptied, nothing is marked. */
static inline void poison_clear_desks(struct poison_page *page)
{
    for (unsigned i = 0; i < POISON_DESKS; i++)
        atomic_store_explicit(&page->desk[i], 0, memory_order_release);
}

#endif
