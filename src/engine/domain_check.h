/* What DNS says of a domain, held against what our mail needs. domain_check.c asks, on the reactor;
 * domain_verdict.c judges what came, pure. A check reads the domain from the database, asks DNS,
 * and keeps what it found; findings that changed are an event (domain.changed), and a key that
 * waited for its record signs from then on. */
#ifndef ENGINE_DOMAIN_CHECK_H
#define ENGINE_DOMAIN_CHECK_H

#include "base/base.h"
#include "mail/dmarc.h"
#include "mail/spf.h"
#include "model/domain.h"

#include <jansson.h>

#define CHECK_SERVERS_MAX   64
#define CHECK_ADDRESSES_MAX 4 /* of a server that are looked at */
#define CHECK_WALKS_MAX     16

struct core;
struct link_request;

/* args.name. Answers the request; NULL: nobody waits. */
void domain_check_start(struct core *c, const char *name, struct link_request *r);
/* Each minute: domains that were not checked for six hours, one at a time, while names may be
 * looked up at all. */
void domain_check_minute(struct core *c);

/* ---- facts for the judge ---- */

struct check_txt { /* the TXT records of a name */
    bool failed;   /* no server answered */
    size_t n;
    const char *lines; /* a record each */
};

struct check_key {
    const char *selector, *public;
    enum dkim_algorithm algorithm;
    enum dkim_key_state state;
    struct check_txt found;
    bool is_good; /* set by the judge */
};

struct check_walk {
    char domain[DOMAIN_MAX + 1]; /* of a return path */
    struct spf *spf;
};

struct check_server {
    char name[128], host[256], provider[65], return_domain[DOMAIN_MAX + 1];
    bool signs;       /* our signature */
    bool by_provider; /* its provider signs */
    struct spf_address addresses[CHECK_ADDRESSES_MAX];
    size_t n_addresses, walk, first_address; /* first: of its addresses within the walk */
};

struct check_facts {
    char name[DOMAIN_MAX + 1];
    struct check_key *keys;
    size_t n_keys;
    struct check_txt dmarc, dmarc_above; /* of the organization, when that is another */
    bool mx_failed, has_mx;
    char mx[DOMAIN_MAX + 1];       /* "": null MX */
    char tracking[DOMAIN_MAX + 1]; /* host of the public URL; "": none */
    bool tracking_found, tracking_failed;
    struct check_server servers[CHECK_SERVERS_MAX];
    size_t n_servers;
    struct check_walk walks[CHECK_WALKS_MAX];
    size_t n_walks;
};

/* {"name","state","findings":[{"about","state","text"}],"servers":[...],"publish":[...]}. */
json_t *domain_judge(struct check_facts *f) MUST_USE;
/* The term that lets a server of this provider send; NULL: not known. */
const char *domain_spf_include(const char *provider);

#endif
