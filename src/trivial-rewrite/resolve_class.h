/* The class of a domain, by the lists of main.cf. */
#ifndef TRIVIAL_REWRITE_RESOLVE_CLASS_H
#define TRIVIAL_REWRITE_RESOLVE_CLASS_H

#include "global/local_host.h"

struct domain_classes {
    struct local_host *local;
    struct match_list *alias, *mailbox, *relay;
};

bool domain_classes_open(struct domain_classes *classes, const struct config *cfg,
                         struct err *err);
void domain_classes_close(struct domain_classes *classes);
/* MATCH_YES: *class_out is one RESOLVE_CLASS_* bit. A domain that is listed in two
 * lists is logged. MATCH_RETRY: a table could not be asked. */
enum match_result domain_class(struct domain_classes *classes, struct span domain,
                               int *class_out);
const char *domain_classes_changed(const struct domain_classes *classes);

#endif
