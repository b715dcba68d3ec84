/* Restrictions on the form of names: nothing is looked up. */
#include "global/addr.h"
#include "smtpd/smtpd_policy.h"

#define NAME_MAX_LEN  255
#define LABEL_MAX_LEN 63

static bool label_is_valid(struct span label)
{
    if (label.len == 0 || label.len > LABEL_MAX_LEN || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        if (!ascii_alnum(c) && c != '-' && c != '_' && (unsigned char)c < 0x80)
            return false;
    }
    return true;
}

/* A host name whose labels are not all digits; one final dot is tolerated. */
static bool name_is_valid(struct span name)
{
    bool numeric = true;

    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return false;
    for (struct span rest = name; rest.ptr;) {
        struct span label = span_cut(&rest, '.');

        if (!label_is_valid(label))
            return false;
        numeric = numeric && span_all_digits(label);
    }
    return !numeric;
}

static bool is_literal(struct span name)
{
    return name.len > 0 && name.ptr[0] == '[';
}

static bool address_is_valid(struct span text, bool tagged)
{
    bool has_tag = span_istarts(text, SPAN_LIT("IPv6:"));
    struct net_addr addr;

    if (!net_addr_parse(text, 0, &addr))
        return false;
    return addr.sa.sa_family != AF_INET6 || has_tag || !tagged;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 section 4.1.3). */
static bool literal_is_valid(struct span name)
{
    if (name.len < 3 || name.ptr[name.len - 1] != ']')
        return false;
    return address_is_valid(span_of(name.ptr + 1, name.len - 2), true);
}

static bool is_fqdn(struct span name)
{
    struct span bare = name;

    if (bare.len > 0 && bare.ptr[bare.len - 1] == '.')
        bare.len--;
    return name_is_valid(name) && span_chr(bare, '.') >= 0;
}

static enum smtpd_verdict refuse_helo(struct smtpd_eval *ev, int64_t code,
                                      const char *text)
{
    return smtpd_refuse_about(ev, SMTPD_CLASS_HELO, ev->s->helo, (int)code, "5.5.2",
                              text);
}

SMTPD_RESTRICTION(smtpd_check_invalid_helo)
{
    const struct config *cfg = ev->s->cfg;
    struct span name = span_str(ev->s->helo);

    (void)check;
    if (!ev->s->helo)
        return SMTPD_DUNNO;
    if (is_literal(name))
        return literal_is_valid(name)
                   ? SMTPD_DUNNO
                   : refuse_helo(ev, cfg->invalid_hostname_reject_code,
                                 "invalid ip address");
    if (name_is_valid(name) || address_is_valid(name, false))
        return SMTPD_DUNNO;
    return refuse_helo(ev, cfg->invalid_hostname_reject_code, "Invalid name");
}

SMTPD_RESTRICTION(smtpd_check_non_fqdn_helo)
{
    const struct config *cfg = ev->s->cfg;
    struct span name = span_str(ev->s->helo);

    if (!ev->s->helo)
        return SMTPD_DUNNO;
    if (is_literal(name))
        return smtpd_check_invalid_helo(ev, check);
    if (is_fqdn(name))
        return SMTPD_DUNNO;
    return refuse_helo(ev, cfg->non_fqdn_reject_code, "need fully-qualified hostname");
}

static enum smtpd_verdict non_fqdn_address(struct smtpd_eval *ev,
                                           enum smtpd_class class, const char *address)
{
    struct span local, domain;

    if (!address || !*address)
        return SMTPD_DUNNO;
    addr_split(span_str(address), &local, &domain);
    if (is_literal(domain) || is_fqdn(domain))
        return SMTPD_DUNNO;
    return smtpd_refuse_about(ev, class, address, (int)ev->s->cfg->non_fqdn_reject_code,
                              "5.5.2", "need fully-qualified address");
}

SMTPD_RESTRICTION(smtpd_check_non_fqdn_sender)
{
    (void)check;
    return non_fqdn_address(ev, SMTPD_CLASS_SENDER, ev->s->trans.sender);
}

SMTPD_RESTRICTION(smtpd_check_non_fqdn_recipient)
{
    (void)check;
    return non_fqdn_address(ev, SMTPD_CLASS_RCPT, ev->recipient);
}
