#include "table/plugins/ldap_conn.h"

#include <stdlib.h>
#include <sys/time.h>

#include "util/escape.h"
#if LDAP_HAVE_SASL
#include <sasl/sasl.h>
#endif

/* err: "what: text (what the server says)". Returns rc. */
static int explain(LDAP *ld, int rc, const char *what, struct err *err)
{
    struct strbuf shown = STRBUF_INIT;
    char *detail = NULL;

    if (ld)
        ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &detail);
    /* What GnuTLS says of everything. */
    if (detail && *detail && strcmp(detail, "(unknown error code)") != 0) {
        strbuf_add_str(&shown, " (");
        escape_printable(&shown, span_first(span_str(detail), 200), '?', true);
        strbuf_add_char(&shown, ')');
    }
    err_set(err, "%s: %s%s", what, ldap_err2string(rc), shown.ptr);
    ldap_memfree(detail);
    strbuf_free(&shown);
    return rc;
}

bool ldap_conn_is_lost(int rc)
{
    switch (rc) {
    case LDAP_SERVER_DOWN:
    case LDAP_TIMEOUT:
    case LDAP_CONNECT_ERROR:
    case LDAP_UNAVAILABLE:
    case LDAP_BUSY:
    case LDAP_DECODING_ERROR:
    case LDAP_LOCAL_ERROR:
        return true;
    default:
        return false;
    }
}

/* -- options -- */

/* The first call reads the library's own settings (ldap.conf): before worker threads
 * are there and before a chroot. */
void ldap_conn_prepare(void)
{
    int version;

    ldap_get_option(NULL, LDAP_OPT_PROTOCOL_VERSION, &version);
}

static int set_options(const struct ldap_config *config, LDAP *ld)
{
    struct timeval timeout = {.tv_sec = config->timeout_s};
    const struct {
        int option;
        const void *value;
    } options[] = {
        {LDAP_OPT_PROTOCOL_VERSION, &config->version},
        {LDAP_OPT_NETWORK_TIMEOUT, &timeout},
        {LDAP_OPT_TIMEOUT, &timeout},
        {LDAP_OPT_TIMELIMIT, &config->timeout_s},
        {LDAP_OPT_SIZELIMIT, &config->size_limit},
        {LDAP_OPT_DEREF, &config->dereference},
        {LDAP_OPT_REFERRALS, config->chase_referrals ? LDAP_OPT_ON : LDAP_OPT_OFF},
        {LDAP_OPT_RESTART, LDAP_OPT_ON},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        int rc = ldap_set_option(ld, options[i].option, options[i].value);
        if (rc != LDAP_OPT_SUCCESS)
            return rc;
    }
    return LDAP_SUCCESS;
}

static int set_tls_options(const struct ldap_config *config, LDAP *ld)
{
    int require =
        config->tls_require_cert ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER;
    int client = 0;
    const struct {
        int option;
        const char *value;
    } options[] = {
        {LDAP_OPT_X_TLS_CACERTDIR, config->tls_ca_cert_dir},
        {LDAP_OPT_X_TLS_CACERTFILE, config->tls_ca_cert_file},
        {LDAP_OPT_X_TLS_CERTFILE, config->tls_cert},
        {LDAP_OPT_X_TLS_KEYFILE, config->tls_key},
        {LDAP_OPT_X_TLS_CIPHER_SUITE, config->tls_cipher_suite},
    };
    int rc = ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);

    for (size_t i = 0; rc == LDAP_OPT_SUCCESS && i < ARRAY_LEN(options); i++)
        if (options[i].value)
            rc = ldap_set_option(ld, options[i].option, options[i].value);
    if (rc == LDAP_OPT_SUCCESS)
        rc = ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
    return rc == LDAP_OPT_SUCCESS ? LDAP_SUCCESS : rc;
}

/* -- binding -- */

/* Wait for the answer to one request. */
static int await(struct ldap_session *session, int id)
{
    int64_t left_ms = session->deadline.at_ms - ldap_now_ms();
    struct timeval timeout = {0};
    LDAP *ld = session->ld;
    LDAPMessage *answer = NULL;
    int code, rc;

    if (left_ms > 0)
        timeout = (struct timeval){.tv_sec = left_ms / 1000,
                                   .tv_usec = left_ms % 1000 * 1000};
    rc = ldap_result(ld, id, LDAP_MSG_ALL, &timeout, &answer);
    if (rc == 0)
        return LDAP_TIMEOUT;
    if (rc < 0) {
        ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
        return code == LDAP_SUCCESS ? LDAP_SERVER_DOWN : code;
    }
    rc = ldap_parse_result(ld, answer, &code, NULL, NULL, NULL, NULL, 1);
    if (rc == LDAP_SUCCESS && code != LDAP_SUCCESS)
        ldap_set_option(ld, LDAP_OPT_RESULT_CODE, &code);
    return rc == LDAP_SUCCESS ? code : rc;
}

static int start_tls(struct ldap_session *session)
{
    LDAP *ld = session->ld;
    int id, rc = ldap_start_tls(ld, NULL, NULL, &id);

    if (rc == LDAP_SUCCESS)
        rc = await(session, id);
    return rc == LDAP_SUCCESS ? ldap_install_tls(ld) : rc;
}

static int bind_simple(const struct ldap_config *config, struct ldap_session *session)
{
    struct berval password = {.bv_val = config->bind_pw,
                              .bv_len = strlen(config->bind_pw)};
    int id, rc = ldap_sasl_bind(session->ld, config->bind_dn, LDAP_SASL_SIMPLE,
                                &password, NULL, NULL, &id);

    return rc == LDAP_SUCCESS ? await(session, id) : rc;
}

#if LDAP_HAVE_SASL
static const char *sasl_answer(const struct ldap_config *config, unsigned long id)
{
    switch (id) {
    case SASL_CB_GETREALM:
        return config->sasl_realm;
    case SASL_CB_AUTHNAME:
        return config->bind_dn;
    case SASL_CB_PASS:
        return config->bind_pw;
    case SASL_CB_USER:
        return config->sasl_authz_id;
    default:
        return NULL;
    }
}

static int sasl_interact(LDAP *ld UNUSED, unsigned flags UNUSED, void *arg,
                         void *questions)
{
    for (sasl_interact_t *q = questions; q->id != SASL_CB_LIST_END; q++) {
        const char *answer = sasl_answer(arg, q->id);
        if (!answer)
            answer = q->defresult ? q->defresult : "";
        q->result = answer;
        q->len = (unsigned)strlen(answer);
    }
    return LDAP_SUCCESS;
}

static int bind_sasl(const struct ldap_config *config, LDAP *ld)
{
    ber_len_t minimum = (ber_len_t)config->sasl_minssf;

    ldap_set_option(ld, LDAP_OPT_X_SASL_SSF_MIN, &minimum);
    return ldap_sasl_interactive_bind_s(ld, NULL, config->sasl_mechs, NULL, NULL,
                                        LDAP_SASL_QUIET, sasl_interact, (void *)config);
}
#else
static int bind_sasl(const struct ldap_config *config UNUSED, LDAP *ld UNUSED)
{
    return LDAP_NOT_SUPPORTED;
}
#endif

static int authenticate(const struct ldap_config *config, struct ldap_session *session)
{
    switch (config->bind) {
    case LDAP_BIND_SIMPLE:
        return bind_simple(config, session);
    case LDAP_BIND_SASL:
        return bind_sasl(config, session->ld);
    default:
        return LDAP_SUCCESS;
    }
}

/* Returns what failed, or NULL. */
static const char *begin(const struct ldap_config *config, struct ldap_session *session,
                         const char *uri, int *rc_out)
{
    LDAP *ld = session->ld;
    bool is_ldaps = strncasecmp(uri, "ldaps:", 6) == 0;

    if ((*rc_out = set_options(config, ld)) != LDAP_SUCCESS)
        return "cannot set options";
    if ((config->start_tls || is_ldaps) &&
        (*rc_out = set_tls_options(config, ld)) != LDAP_SUCCESS)
        return "cannot set TLS options";
#if LDAP_VENDOR_VERSION >= 20500 /* otherwise the first request connects */
    if ((*rc_out = ldap_connect(ld)) != LDAP_SUCCESS)
        return "cannot connect";
#endif
    if (config->start_tls && !is_ldaps &&
        (*rc_out = start_tls(session)) != LDAP_SUCCESS)
        return "cannot start TLS";
    if ((*rc_out = authenticate(config, session)) != LDAP_SUCCESS)
        return "cannot bind";
    return NULL;
}

static void set_deadline(const struct ldap_config *config, struct ldap_session *session)
{
    session->deadline.at_ms = ldap_now_ms() + 1000 * (int64_t)config->timeout_s;
}

struct ldap_session *ldap_conn_open(const struct ldap_config *config, const char *uri,
                                    struct err *err)
{
    struct ldap_session *session = xcalloc(1, sizeof(*session));
    const char *what = "cannot begin";
    int rc = ldap_initialize(&session->ld, uri);

    set_deadline(config, session);
    if (rc == LDAP_SUCCESS)
        rc = ldap_deadline_attach(&session->deadline, session->ld);
    if (rc == LDAP_SUCCESS)
        what = begin(config, session, uri, &rc);
    if (!what)
        return session;
    explain(session->ld, rc, what, err);
    err_prefix(err, "LDAP server %s", uri);
    ldap_conn_close(session);
    return NULL;
}

void ldap_conn_close(struct ldap_session *session)
{
    if (!session)
        return;
    if (session->ld)
        ldap_unbind_ext_s(session->ld, NULL, NULL);
    free(session);
}

/* -- searching -- */

int ldap_conn_search(const struct ldap_config *config, struct ldap_session *session,
                     const char *base, int scope, const char *filter, char **attributes,
                     LDAPMessage **result_out, struct err *err)
{
    struct timeval timeout = {.tv_sec = config->timeout_s};

    *result_out = NULL;
    set_deadline(config, session);
    int rc = ldap_search_ext_s(session->ld, base, scope, filter, attributes, 0, NULL,
                               NULL, &timeout, config->size_limit, result_out);
    if (rc == LDAP_SUCCESS)
        return rc;
    ldap_msgfree(*result_out);
    *result_out = NULL;
    return explain(session->ld, rc, "LDAP search", err);
}
