/* Lookup tables that parameters name: type, source, index, syntax. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/mail_table.h"
#include "global/param.h"
#include "postfix/check.h"
#include "table/table_type.h"

#define CONNECT_MS 2000

static bool ends_with(const char *name, const char *const *suffixes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_ends(span_str(name), span_str(suffixes[i])))
            return true;
    return false;
}

/* Does the parameter hold tables? Caches are made when they are first used. */
static bool holds_tables(const char *name)
{
    static const char *const suffixes[] = {"_maps",          "_table",
                                           "_checks",        "_restrictions",
                                           "_access_list",   "_dns_reply_filter",
                                           "_status_filter", "_command_filter",
                                           "_reply_filter",  "_reply_map"};
    static const char *const names[] = {"mydestination",
                                        "mynetworks",
                                        "relay_domains",
                                        "virtual_alias_domains",
                                        "virtual_mailbox_domains",
                                        "fast_flush_domains",
                                        "debug_peer_list",
                                        "local_header_rewrite_clients",
                                        "relay_clientcerts",
                                        "smtpd_client_event_limit_exceptions",
                                        "masquerade_exceptions",
                                        "smtpd_authorized_xclient_hosts",
                                        "smtpd_authorized_xforward_hosts",
                                        "authorized_submit_users",
                                        "authorized_flush_users",
                                        "authorized_mailq_users"};

    if (strncmp(name, "proxy_", 6) == 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return ends_with(name, suffixes, ARRAY_LEN(suffixes));
}

/* "type:name" of a table, not an "[address]:port" or a service. */
static bool is_table(struct span word)
{
    struct span name = word, type = span_cut(&name, ':');

    if (!name.ptr || !type.len || span_all_digits(type) || span_eq_str(type, "inet"))
        return false;
    for (size_t i = 0; i < type.len; i++)
        if (!ascii_alnum(type.ptr[i]) && type.ptr[i] != '_')
            return false;
    return !(span_eq_str(type, "unix") && !span_ends(name, SPAN_LIT(".byname")));
}

struct table_use {
    struct check_place place;
    const char *name;        /* "type:name" */
    const char *type, *path; /* proxy: stripped */
};

static void visit_value(struct check *check, const struct check_view *view,
                        const char *parameter,
                        void (*fn)(struct check *check, const struct table_use *use))
{
    struct span rest = span_str(view_value(view, parameter)), word;
    bool policy = false;

    while (table_next_element(&rest, &word)) {
        struct table_use use = {.place = at_view(check, view, parameter)};
        struct span type, name;

        while (word.len && word.ptr[0] == '!')
            word = span_skip(word, 1);
        if (!policy && is_table(word)) {
            use.name = arena_span_str(check->arena, word);
            name = word;
            type = span_cut(&name, ':');
            while (span_eq_str(type, "proxy"))
                type = span_cut(&name, ':');
            use.type = arena_span_str(check->arena, type);
            use.path = arena_span_str(check->arena, name);
            fn(check, &use);
        }
        policy = span_ieq_str(word, "check_policy_service");
    }
}

static void each_table(struct check *check,
                       void (*fn)(struct check *check, const struct table_use *use))
{
    for (size_t i = 0; i < check->view_count; i++) {
        const struct check_view *view = &check->views[i];
        struct span rest = span_str(view->cfg->smtpd_restriction_classes), word;

        for (size_t j = 0; j < param_count; j++)
            if (param_table[j].kind == PARAM_STR && holds_tables(param_table[j].name) &&
                view_sets(view, param_table[j].name) &&
                /* What follows another parameter is reported there. */
                (config_line(view->cfg, param_table[j].name) || view->entry ||
                 !strchr(param_table[j].text, '$') ||
                 strcmp(param_table[j].name, "alias_maps") == 0))
                visit_value(check, view, param_table[j].name, fn);
        while (span_token(&rest, ", \t\r\n", &word)) {
            const char *name = arena_span_str(check->arena, word);

            if (view_sets(view, name))
                visit_value(check, view, name, fn);
        }
    }
}

/* -- types -- */

/* Built in, or a plug-in that is listed and there. */
static bool type_exists(struct check *check, const char *type)
{
    struct err err;

    if (table_type_find(span_str(type)))
        return true;
    if (!check->types && !check->types_problem) {
        check->types = table_type_names(mail_table_env(check->cfg), check->arena, &err);
        if (!check->types)
            check->types_problem = arena_str(check->arena, err.text);
    }
    for (const char **name = check->types; name && *name; name++)
        if (strcmp(*name, type) == 0)
            return true;
    return false;
}

static void report_type(struct check *check, const struct table_use *use)
{
    if (type_exists(check, use->type))
        return;
    if (check->types_problem)
        check_advise(check, "correct the list of plug-ins: %s", check->types_problem);
    check_found(check, use->place, "unsupported dictionary type: %s", use->name);
}

static void unknown_types(struct check *check)
{
    each_table(check, report_type);
}

/* -- files -- */

static bool is_among(struct span type, const char *const *types, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_eq_str(type, types[i]))
            return true;
    return false;
}

static bool is_file_type(const char *type)
{
    static const char *const types[] = {
        "lmdb",   "hash",  "btree", "texthash", "cidr",     "regexp",  "pcre", "cdb",
        "sqlite", "mysql", "pgsql", "ldap",     "memcache", "mongodb", "redis"};

    return is_among(span_str(type), types, ARRAY_LEN(types));
}

/* Suffix of the file that postmap makes; NULL: it makes none. */
static const char *index_suffix(const char *type)
{
    static const char *const types[] = {"lmdb", "hash", "btree"};

    if (strcmp(type, "cdb") == 0)
        return ".cdb";
    return is_among(span_str(type), types, ARRAY_LEN(types)) ? ".lmdb" : NULL;
}

static const char *index_path(const struct check *check, const struct table_use *use)
{
    return arena_printf(check->arena, "%s%s", use->path, index_suffix(use->type));
}

/* The source will do. */
static bool does_without_index(const char *type)
{
    return strcmp(type, "hash") == 0 || strcmp(type, "btree") == 0;
}

static const char *builder(const struct table_use *use)
{
    return strcmp(use->place.parameter, "alias_maps") == 0 ? "postalias" : "postmap";
}

static void report_missing(struct check *check, const struct table_use *use)
{
    const char *path = use->path;

    if (!is_file_type(use->type) || !type_exists(check, use->type) || path[0] != '/')
        return;
    if (index_suffix(use->type)) {
        const char *index = index_path(check, use);
        bool has_source = access(path, F_OK) == 0;

        if (access(index, F_OK) == 0 || (has_source && does_without_index(use->type)))
            return;
        if (has_source)
            check_advise(check, "run \"%s %s\"", builder(use), use->name);
        else
            check_advise(check, "write %s, then run \"%s %s\"", path, builder(use),
                         use->name);
        path = index;
    } else if (access(path, F_OK) == 0) {
        return;
    }
    check_found(check, use->place, "table %s: no file %s", use->name, path);
    check->advice = NULL;
}

static void missing(struct check *check)
{
    each_table(check, report_missing);
}

static void report_no_index(struct check *check, const struct table_use *use)
{
    const char *index;

    if (!does_without_index(use->type))
        return;
    index = index_path(check, use);
    if (access(index, F_OK) == 0 || access(use->path, F_OK) < 0)
        return;
    check_advise(check, "run \"%s %s\"", builder(use), use->name);
    check_found(check, use->place, "table %s: no index %s", use->name, index);
}

static void no_index(struct check *check)
{
    each_table(check, report_no_index);
}

static void report_stale(struct check *check, const struct table_use *use)
{
    struct stat source, index;
    const char *path;

    if (!index_suffix(use->type))
        return;
    path = index_path(check, use);
    if (stat(use->path, &source) < 0 || stat(path, &index) < 0 ||
        source.st_mtim.tv_sec <= index.st_mtim.tv_sec + 1)
        return;
    check_advise(check, "run \"%s %s\"", builder(use), use->name);
    check_found(check, use->place, "database %s is older than source file %s", path,
                use->path);
}

static void stale(struct check *check)
{
    each_table(check, report_stale);
}

/* -- contents -- */

/* Types that opening reads, and needs nobody else for. */
bool check_table_is_local(struct span type)
{
    static const char *const types[] = {
        "pipemap", "unionmap", "inline", "static", "randmap", "lmdb", "hash",
        "btree",   "texthash", "cidr",   "regexp", "pcre",    "cdb"};

    return is_among(type, types, ARRAY_LEN(types));
}

/* Missing files are reported as such. */
static bool is_there(const struct check *check, const struct table_use *use)
{
    const char *path = use->path;

    if (path[0] != '/')
        return true;
    if (!index_suffix(use->type) || does_without_index(use->type))
        return access(path, F_OK) == 0 ||
               (index_suffix(use->type) && access(index_path(check, use), F_OK) == 0);
    return access(index_path(check, use), F_OK) == 0;
}

static struct table *try_open(struct check *check, const struct table_use *use,
                              struct err *err)
{
    err->text[0] = '\0';
    if (!type_exists(check, use->type) || !check_table_is_local(span_str(use->type)) ||
        !is_there(check, use))
        return NULL;
    return table_open(mail_table_env_as_is(check->cfg),
                      arena_printf(check->arena, "%s:%s", use->type, use->path),
                      TABLE_READ, mail_table_flags(check->cfg), err);
}

static void report_unusable(struct check *check, const struct table_use *use)
{
    struct err err;
    struct table *table = try_open(check, use, &err);

    if (!table && err.text[0] && strncmp(err.text, "unsupported", 11) != 0)
        check_found(check, use->place, "table %s: %s", use->name, err.text);
    table_close(table);
}

static void unusable(struct check *check)
{
    each_table(check, report_unusable);
}

static void hear_table(struct check *check, struct span text)
{
    static const char *const elsewhere[] = {"is older than source file",
                                            "there is no index"};
    const char *line = arena_span_str(check->arena, text);

    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        if (strstr(line, elsewhere[i]))
            return;
    check_found(check, check->warning_place, "%s", line);
}

static void report_syntax(struct check *check, const struct table_use *use)
{
    struct err err;

    check->warning_place = use->place;
    check->on_warning = hear_table;
    table_close(try_open(check, use, &err));
    check->on_warning = NULL;
}

static void syntax(struct check *check)
{
    each_table(check, report_syntax);
}

/* -- servers -- */

/* "127.0.0.1:2525" or "[::1]:port": 0, or why nobody answers there. */
static int try_connect(struct check *check, struct span endpoint)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct span host, port;
    int fd, error = 0;
    socklen_t len = sizeof error;

    if (!net_split_hostport(endpoint, &host, &port) || !port.len)
        return 0;
    if (getaddrinfo(host.len ? arena_span_str(check->arena, host) : NULL,
                    arena_span_str(check->arena, port), &hints, &found) != 0)
        return EHOSTUNREACH;
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};

        error = errno;
        if (error == EINPROGRESS && poll(&pfd, 1, CONNECT_MS) <= 0)
            error = ETIMEDOUT;
        else if (error == EINPROGRESS)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return error;
}

static void report_server(struct check *check, const struct table_use *use)
{
    struct span endpoint = span_str(use->path);
    int error;

    if (strcmp(use->type, "socketmap") == 0 &&
        span_starts(endpoint, SPAN_LIT("inet:"))) {
        endpoint = span_skip(endpoint, 5);
        endpoint.len =
            (size_t)(span_rchr(endpoint, ':') < 0 ? 0 : span_rchr(endpoint, ':'));
    } else if (strcmp(use->type, "tcp") != 0) {
        return;
    }
    error = try_connect(check, endpoint);
    if (error)
        check_found(check, use->place, "table %s: connect to %.*s: %s", use->name,
                    SPAN_ARG(endpoint), strerror(error));
}

static void servers(struct check *check)
{
    each_table(check, report_server);
}

const struct check_rule check_table_rules[] = {
    {"table-type", CHECK_ERROR, 0, unknown_types,
     "whatever needs the table fails for the time being, and mail waits",
     "use another type (\"postconf -m\" lists them), or install its plug-in"},
    {"missing-table", CHECK_ERROR, 0, missing,
     "whatever needs the table fails for the time being, and mail waits",
     "correct the name, or create the file"},
    {"table-unusable", CHECK_ERROR, 0, unusable,
     "whatever needs the table fails for the time being, and mail waits",
     "correct it, then test it with \"postmap -q key table\""},
    {"missing-index", CHECK_WARNING, 0, no_index,
     "the source text is read instead, which is slow when it is large",
     "build the index with postmap"},
    {"stale-index", CHECK_WARNING, 0, stale,
     "changes of the source have no effect until the index is rebuilt",
     "build the index with postmap"},
    {"table-syntax", CHECK_WARNING, 0, syntax, "the line has no effect",
     "correct the line"},
    {"table-server", CHECK_WARNING, 0, servers,
     "whatever needs the table fails for the time being, and mail waits",
     "start the server, or correct the address"},
    {.code = NULL},
};
