#include "smtpd/smtpd_policy.h"

/* Names are as operators write them, in any case. A new restriction is a row here and
 * a function. */
static const struct smtpd_restriction table[] = {
    {"permit", smtpd_check_permit, SMTPD_ARG_NONE},
    {"reject", smtpd_check_reject, SMTPD_ARG_NONE},
    {"defer", smtpd_check_defer, SMTPD_ARG_NONE},
    {"permit_mynetworks", smtpd_check_mynetworks, SMTPD_ARG_NONE},
    {"permit_sasl_authenticated", smtpd_check_sasl_authenticated, SMTPD_ARG_NONE},
    {"permit_auth_destination", smtpd_check_auth_destination, SMTPD_ARG_NONE},
    {"reject_unauth_destination", smtpd_check_reject_unauth_destination, SMTPD_ARG_NONE},
    {"defer_unauth_destination", smtpd_check_defer_unauth_destination, SMTPD_ARG_NONE},
};

const struct smtpd_restriction *smtpd_restriction_find(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (span_ieq_str(name, table[i].name))
            return &table[i];
    return NULL;
}
