/* One derivation is one job of the pool. It belongs to the desk while it runs; the reactor touches
 * only the pointer to its owner, which the desk does not look at. */
#include "engine/derive.h"
#include "base/alloc.h"
#include "model/message.h"

#include <stdlib.h>

struct derivation {
    struct pool_job desk;
    struct smtp_derivation what;
    struct secret *password;
    uint8_t salted[SMTP_SALTED_SIZE];
    bool ok;
    derived_fn *done;
    void *owner; /* NULL: gone */
};

static void work(struct pool_job *job)
{
    struct derivation *d = container_of(job, struct derivation, desk);
    d->ok = smtp_derive(&d->what, d->password, d->salted);
}

static void done(struct pool_job *job)
{
    struct derivation *d = container_of(job, struct derivation, desk);
    if (d->owner)
        d->done(d->owner, d->ok ? d->salted : NULL);
    secret_free(&d->password);
    secret_wipe(d, sizeof *d);
    free(d);
}

struct derivation *derive_start(struct pool *desks, const struct smtp_derivation *what,
                                const struct secret *password, derived_fn *fn, void *owner)
{
    struct derivation *d = alloc_one(struct derivation);
    d->desk = (struct pool_job){.work = work, .done = done, .lane = LANE_TRANSACTIONAL};
    d->what = *what;
    d->password = password ? secret_clone(password) : secret_new("", 0);
    d->done = fn;
    d->owner = owner;
    pool_submit(desks, &d->desk);
    return d;
}

void derive_abandon(struct derivation **d)
{
    if (*d)
        (*d)->owner = NULL;
    *d = NULL;
}
