#include "postmulti/postmulti.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "global/paths.h"
#include "master/service_log.h"
#include "util/msg.h"

#define USAGE                                                                          \
    "Usage: postmulti [-c config_dir] [-v] -l [-jR] [-a] [-g group] [-i instance] | "  \
    "postmulti [-v] -p [-a] [-g group] [-i instance] command... | postmulti [-v] -x "  \
    "[-R] [-a] [-g group] [-i instance] command... | postmulti [-v] -e action [-a] "   \
    "[-g group] [-i instance] [-G group] [-I name] [param=value ...]"

static const struct edit_row {
    const char *name;
    int (*fn)(struct postmulti *pm);
    bool assigns; /* takes -I and -G */
} edits[] = {
    {"create", edit_create, true},  {"destroy", edit_destroy, false},
    {"import", edit_import, true},  {"deport", edit_deport, false},
    {"enable", edit_enable, false}, {"disable", edit_disable, false},
    {"assign", edit_assign, true},  {"init", edit_init, false},
};

struct request {
    char mode;          /* e, l, p or x */
    const char *action; /* -e */
    const char *dir;    /* of the primary instance */
    unsigned modes, selectors;
};

static void take_mode(struct request *request, int letter)
{
    request->mode = (char)letter;
    request->modes++;
}

static void take_option(struct postmulti *pm, struct request *request, int letter)
{
    switch (letter) {
    case 'e':
        request->action = optarg;
        take_mode(request, letter);
        break;
    case 'l':
    case 'p':
    case 'x':
        take_mode(request, letter);
        break;
    case 'a':
        request->selectors++;
        break;
    case 'g':
        pm->selection.group = optarg;
        request->selectors++;
        break;
    case 'i':
        pm->selection.name = optarg;
        request->selectors++;
        break;
    case 'c':
        request->dir = optarg;
        break;
    case 'G':
        pm->new_group = optarg;
        break;
    case 'I':
        pm->new_name = optarg;
        break;
    case 'j':
        pm->json = true;
        break;
    case 'R':
        pm->reverse = true;
        break;
    case 'v':
        msg_verbose++;
        setenv("MAIL_VERBOSE", "", 1);
        break;
    default:
        msg_fatal(USAGE);
    }
}

static const struct edit_row *find_edit(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(edits); i++)
        if (strcmp(edits[i].name, name) == 0)
            return &edits[i];
    msg_fatal("Invalid '-e' edit action '%s'. Specify 'create', 'destroy', 'import', "
              "'deport', 'enable', 'disable', 'assign' or 'init'",
              name);
}

static void check_request(const struct postmulti *pm, const struct request *request)
{
    const struct edit_row *edit =
        request->mode == 'e' ? find_edit(request->action) : NULL;

    if (request->modes != 1)
        msg_fatal("Specify exactly one of '-e', '-l', '-p', '-x'");
    if (request->selectors > 1)
        msg_fatal("Specify no more than one of '-a', '-g', '-i'");
    if ((pm->new_name || pm->new_group) && !edit)
        msg_fatal("Cannot assign instance name or group without '-e assign'");
    if ((pm->new_name || pm->new_group) && !edit->assigns)
        msg_fatal("Cannot assign instance name or group with '-e %s'", edit->name);
    if (pm->json && request->mode != 'l')
        msg_fatal("The '-j' option is for '-l' only");
    if (pm->reverse && strchr("pe", request->mode))
        msg_fatal("The '-p' and '-e' options preclude the use of '-R'");
    if (pm->argc > 0 && request->mode == 'l')
        msg_fatal("Command not allowed with '-l'");
    if (pm->argc == 0 && strchr("px", request->mode))
        msg_fatal("Command required with '-p' or '-x' option");
}

static void parse_options(struct postmulti *pm, struct request *request, int argc,
                          char **argv)
{
    int letter;

    while ((letter = getopt(argc, argv, "+ac:e:g:G:i:I:jlpRvx")) != -1)
        take_option(pm, request, letter);
    pm->argc = argc - optind;
    pm->argv = argv + optind;
    check_request(pm, request);
    if (!request->dir)
        request->dir = getenv("MAIL_CONFIG");
    if (!request->dir)
        request->dir = SYSCONFDIR;
    if (request->dir[0] != '/')
        msg_fatal("configuration directory must be an absolute path: %s", request->dir);
}

/* Edits read the list of instances and write it later: one at a time. The lock ends
 * with this process. */
static void lock_instances(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    while (fd >= 0 && flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            msg_fatal("lock %s: %s", dir, strerror(errno));
}

static int act(struct postmulti *pm, const struct request *request)
{
    switch (request->mode) {
    case 'e':
        return find_edit(request->action)->fn(pm);
    case 'p':
        return run_postfix_each(pm);
    case 'x':
        return run_any_each(pm);
    default:
        instances_print(pm);
        return 0;
    }
}

int main(int argc, char **argv)
{
    struct postmulti pm = {.arena = arena_new()};
    struct request request = {0};
    int status;

    umask(022);
    msg_init("postmulti");
    parse_options(&pm, &request, argc, argv);
    if (request.mode == 'e')
        lock_instances(
            request.dir); /* a missing directory is reported by what follows */
    instances_load(&pm, request.dir);
    service_log_open_command(pm.instances[0].cfg, "postmulti");
    msg_also_stderr(true);
    status = act(&pm, &request);
    msg_flush();
    instances_free(&pm);
    arena_free(pm.arena);
    return status;
}
