#include "smtpd/smtpd_policy.h"

#define NONE   SMTPD_ARG_NONE
#define NUMBER SMTPD_ARG_NUMBER
#define TABLE  SMTPD_ARG_TABLE

/* Names are as operators write them, in any case. A new restriction is a row here and
 * a function. */
static const struct smtpd_restriction table[] = {
    {"permit", smtpd_check_permit, NONE, false},
    {"reject", smtpd_check_reject, NONE, true},
    {"defer", smtpd_check_defer, NONE, true},
    {"defer_if_permit", smtpd_check_defer_if_permit, NONE, true},
    {"defer_if_reject", smtpd_check_defer_if_reject, NONE, false},
    {"warn_if_reject", smtpd_check_warn_if_reject, NONE, false},
    {"sleep", smtpd_check_sleep, NUMBER, false},
    {"permit_mynetworks", smtpd_check_mynetworks, NONE, false},
    {"permit_inet_interfaces", smtpd_check_inet_interfaces, NONE, false},
    {"permit_sasl_authenticated", smtpd_check_sasl_authenticated, NONE, false},
    {"permit_auth_destination", smtpd_check_auth_destination, NONE, false},
    {"reject_unauth_destination", smtpd_check_reject_unauth_destination, NONE, true},
    {"defer_unauth_destination", smtpd_check_defer_unauth_destination, NONE, true},
    {"reject_unlisted_recipient", smtpd_check_unlisted_recipient, NONE, false},
    {"check_recipient_maps", smtpd_check_unlisted_recipient, NONE, false},
    {"reject_unlisted_sender", smtpd_check_unlisted_sender, NONE, false},
    {"reject_invalid_helo_hostname", smtpd_check_invalid_helo, NONE, false},
    {"reject_invalid_hostname", smtpd_check_invalid_helo, NONE, false},
    {"reject_non_fqdn_helo_hostname", smtpd_check_non_fqdn_helo, NONE, false},
    {"reject_non_fqdn_hostname", smtpd_check_non_fqdn_helo, NONE, false},
    {"reject_non_fqdn_sender", smtpd_check_non_fqdn_sender, NONE, false},
    {"reject_non_fqdn_recipient", smtpd_check_non_fqdn_recipient, NONE, false},
    {"check_client_access", smtpd_check_client_access, TABLE, false},
    {"check_reverse_client_hostname_access", smtpd_check_reverse_client_access, TABLE,
     false},
    {"check_helo_access", smtpd_check_helo_access, TABLE, false},
    {"check_sender_access", smtpd_check_sender_access, TABLE, false},
    {"check_recipient_access", smtpd_check_recipient_access, TABLE, false},
    {"check_etrn_access", smtpd_check_etrn_access, TABLE, false},
};

const struct smtpd_restriction *smtpd_restriction_find(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (span_ieq_str(name, table[i].name))
            return &table[i];
    return NULL;
}

const struct smtpd_restriction *smtpd_restriction_bare(enum smtpd_stage stage)
{
    static const char *const names[SMTPD_STAGE_COUNT] = {
        [SMTPD_STAGE_CLIENT] = "check_client_access",
        [SMTPD_STAGE_HELO] = "check_helo_access",
        [SMTPD_STAGE_SENDER] = "check_sender_access",
        [SMTPD_STAGE_RELAY] = "check_recipient_access",
        [SMTPD_STAGE_RCPT] = "check_recipient_access",
        [SMTPD_STAGE_ETRN] = "check_etrn_access",
    };

    return names[stage] ? smtpd_restriction_find(span_str(names[stage])) : NULL;
}
