#include "global/command.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/match_list.h"
#include "util/strbuf.h"

#define FD_FALLBACK_MAX 65536

static void close_from(int first)
{
    long limit;

#ifdef __linux__
    if (close_range((unsigned)first, ~0u, 0) == 0)
        return;
#endif
    limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > FD_FALLBACK_MAX)
        limit = FD_FALLBACK_MAX;
    for (int fd = first; fd < limit; fd++)
        close(fd);
}

bool command_clean_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            (errno != EBADF || open("/dev/null", O_RDWR) != fd))
            return false;
    close_from(3);
    return true;
}

/* What import_environment names: "NAME=value" or "{NAME = value}" as it stands, "NAME"
 * with the caller's value. NUL-terminated texts, one behind the other. */
static void keep_variable(struct span word, struct strbuf *kept)
{
    struct strbuf name = STRBUF_INIT;
    struct span value;

    if (word.len > 2 && word.ptr[0] == '{')
        word = span_trim(span_of(word.ptr + 1, word.len - 2));
    value = word;
    strbuf_add_span(&name, span_rtrim(span_cut(&value, '=')));
    if (value.ptr)
        value = span_ltrim(value);
    else if (getenv(name.ptr))
        value = span_str(getenv(name.ptr));
    if (value.ptr && name.len > 0) {
        strbuf_addf(kept, "%s=", name.ptr);
        strbuf_add_span(kept, value);
        strbuf_add_char(kept, '\0');
    }
    strbuf_free(&name);
}

void command_clean_environment(const struct config *cfg)
{
    struct span rest = span_str(cfg->import_environment), word;
    struct strbuf kept = STRBUF_INIT;
    char *text;

    while (span_token_braces(&rest, ", \t\r\n", &word))
        keep_variable(word, &kept);
    clearenv();
    for (text = kept.ptr; text < kept.ptr + kept.len; text += strlen(text) + 1) {
        char *value = strchr(text, '=');

        *value = '\0';
        setenv(text, value + 1, 1);
        text = value + 1;
    }
    strbuf_free(&kept);
    setenv("MAIL_CONFIG", cfg->dir, 1);
}

bool command_user_allowed(const struct config *cfg, const char *name, const char *list,
                          const char *what, struct err *err)
{
    const struct passwd *pw;
    struct match_list *allowed;
    enum match_result result;
    const char *user;
    uid_t uid = getuid();

    /* The default, which spares the look-up of the name. */
    if (strcmp(list, "static:anyone") == 0)
        return true;
    pw = getpwuid(uid);
    user = pw ? pw->pw_name : "unknown";
    allowed = match_list_open(cfg, name, list, MATCH_STRING);
    result = match_list_find(allowed, span_str(user));
    match_list_close(allowed);
    if (result == MATCH_YES)
        return true;
    if (result == MATCH_RETRY)
        return err_set(err, "%s lookup error for user %s(%ld)", name, user, (long)uid);
    return err_set(err, "User %s(%ld) is not allowed to %s", user, (long)uid, what);
}
