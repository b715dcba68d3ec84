#include "sendmail/options.h"

#include <unistd.h>

#include "global/envelope.h"

#define OPTION_LETTERS "+A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
#define ENVID_MAX      100

struct parse {
    struct sendmail_options *o;
    struct sendmail_warnings *warnings;
    struct arena *arena;
    struct err *err;
};

static void warn(struct parse *p, const char *text)
{
    if (p->warnings->count < SENDMAIL_WARNINGS_MAX)
        p->warnings->text[p->warnings->count++] = text;
}

static bool set_mode(struct parse *p, enum sendmail_mode mode)
{
    p->o->mode = mode;
    return true;
}

/* -b: what to do. */
static bool mode_option(struct parse *p, const char *arg)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {
        {'m', MODE_DELIVER}, {'v', MODE_VERIFY},  {'s', MODE_SMTP},
        {'p', MODE_LIST},    {'i', MODE_ALIASES}, {'d', MODE_DAEMON},
        {'l', MODE_DAEMON},  {'h', MODE_NOTHING}, {'H', MODE_NOTHING},
    };

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (arg[0] == modes[i].letter)
            return set_mode(p, modes[i].mode);
    return err_set(p->err, "unsupported: -b%c", arg[0]);
}

/* -q: run the queue. Everything is tried again by itself at intervals anyway. */
static bool queue_option(struct parse *p, const char *arg)
{
    p->o->argument = arg[0] ? arg + 1 : arg;
    if (ascii_digit(arg[0]))
        return set_mode(p, MODE_NOTHING);
    switch (arg[0]) {
    case '\0':
        return set_mode(p, MODE_FLUSH);
    case 'I':
        return arg[1] ? set_mode(p, MODE_FLUSH_ID)
                      : err_set(p->err, "specify: -qIqueueid");
    case 'R':
        return arg[1] ? set_mode(p, MODE_FLUSH_SITE)
                      : err_set(p->err, "specify: -qRsitename");
    default:
        return err_set(p->err, "-q%c is not implemented", arg[0]);
    }
}

/* -o: options of other mail systems; few of them mean something. */
static bool old_option(struct parse *p, const char *arg)
{
    if (arg[0] == 'i')
        p->o->dots_are_text = true;
    if (arg[0] != 'A')
        return true;
    if (!arg[1])
        return err_set(p->err, "-oA requires pathname");
    p->o->alias_database = arg + 1;
    return true;
}

/* -O name=value */
static bool long_option(struct parse *p, const char *arg)
{
    static const struct {
        const char *name;
        int bit;
    } names[] = {{"requiretls", SENDOPT_REQUIRETLS}, {"smtputf8", SENDOPT_SMTPUTF8}};
    struct span value = span_str(arg), name = span_cut(&value, '=');

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!span_ieq_str(name, names[i].name))
            continue;
        if (span_ieq_str(value, "yes"))
            p->o->sendopts |= names[i].bit;
        else if (span_ieq_str(value, "no"))
            p->o->sendopts &= ~names[i].bit;
        else
            return err_set(p->err, "bad -O option value: %s", arg);
    }
    return true;
}

static bool encoding_option(struct parse *p, const char *arg)
{
    if (strcmp(arg, "8BITMIME") == 0)
        p->o->encoding = "8bit";
    else if (strcmp(arg, "7BIT") == 0)
        p->o->encoding = "7bit";
    else
        return err_set(p->err, "-B option needs 8BITMIME or 7BIT");
    return true;
}

static int notify_bit(struct span word)
{
    static const struct {
        const char *name;
        int bit;
    } names[] = {{"never", NOTIFY_NEVER},
                 {"success", NOTIFY_SUCCESS},
                 {"failure", NOTIFY_FAILURE},
                 {"delay", NOTIFY_DELAY}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (span_ieq_str(word, names[i].name))
            return names[i].bit;
    return 0;
}

static bool notify_option(struct parse *p, const char *arg)
{
    struct span rest = span_str(arg), word;
    int bits = 0;

    while (span_token(&rest, ", \t", &word)) {
        int bit = notify_bit(word);

        if (!bit) {
            warn(p, arena_printf(p->arena,
                                 "unknown DSN NOTIFY command value \"%.*s\" in \"%s\"",
                                 SPAN_ARG(word), arg));
            bits = 0;
            break;
        }
        bits |= bit;
    }
    if (!bits || ((bits & NOTIFY_NEVER) && bits != NOTIFY_NEVER))
        warn(p, "bad -N option value -- ignored");
    else
        p->o->notify = bits;
    return true;
}

static bool return_option(struct parse *p, const char *arg)
{
    if (span_ieq_str(span_str(arg), "full"))
        p->o->ret = RET_FULL;
    else if (span_ieq_str(span_str(arg), "hdrs"))
        p->o->ret = RET_HDRS;
    else
        warn(p, "bad -R option value -- ignored");
    return true;
}

static bool envid_option(struct parse *p, const char *arg)
{
    if (strlen(arg) > ENVID_MAX)
        warn(p, "too long -V option value -- ignored");
    else
        p->o->envid = arg;
    return true;
}

/* -XV, -XV+=: VERP. */
static bool x_option(struct parse *p, const char *arg)
{
    if (arg[0] != 'V')
        return err_set(p->err, "unsupported: -X%c", arg[0]);
    if (arg[1] &&
        (strlen(arg) != 3 || !strchr("-=+", arg[1]) || !strchr("-=+", arg[2])))
        return err_set(p->err, "-V requires two characters from -=+");
    p->o->verp = true;
    p->o->verp_delimiters = arg[1] ? arg + 1 : NULL;
    return true;
}

static bool flag_option(struct parse *p, int letter)
{
    switch (letter) {
    case 'G':
        p->o->remote = true;
        return true;
    case 'I':
        return set_mode(p, MODE_ALIASES);
    case 'i':
        p->o->dots_are_text = true;
        return true;
    case 'n':
        return err_set(p->err, "-n option not supported");
    case 't':
        p->o->extract = true;
        return true;
    case 'v':
        p->o->verbose++;
        return true;
    default: /* -U -c -m -x: of other mail systems, without meaning here */
        return true;
    }
}

static bool one_option(struct parse *p, int letter, const char *arg)
{
    switch (letter) {
    case 'A': /* -A -L -e -h -p: as above */
    case 'L':
    case 'e':
    case 'h':
    case 'p':
        return true;
    case 'B':
        return encoding_option(p, arg);
    case 'C':
        p->o->config = arg;
        return true;
    case 'F':
        p->o->full_name = arg;
        return true;
    case 'N':
        return notify_option(p, arg);
    case 'O':
        return long_option(p, arg);
    case 'R':
        return return_option(p, arg);
    case 'V':
        return envid_option(p, arg);
    case 'X':
        return x_option(p, arg);
    case 'b':
        return mode_option(p, arg);
    case 'f':
    case 'r':
        p->o->sender = arg;
        return true;
    case 'o':
        return old_option(p, arg);
    case 'q':
        return queue_option(p, arg);
    case '?':
        return err_set(p->err, "usage: sendmail [options]");
    default:
        return flag_option(p, letter);
    }
}

/* Options that getopt() cannot take as they are: "-q" and "-o7" have optional parts,
 * and "-XV" and "-V+=" must not swallow the next word. */
static char **rewrite_arguments(struct parse *p, int argc, char **argv, int *argc_out)
{
    char **out = arena_alloc(p->arena, ((size_t)argc + 2) * sizeof *out);
    int count = 0;
    bool options = true;

    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];

        out[count++] = argv[i];
        if (i == 0 || !options)
            continue;
        if (arg[0] != '-' || !arg[1] || strcmp(arg, "--") == 0)
            options = false;
        else if (strcmp(arg, "-q") == 0)
            out[count - 1] = arena_str(p->arena, "-q "); /* empty, below */
        else if (arg[1] == 'V' && strlen(arg) == 4 && strchr("-=+", arg[2]) &&
                 strchr("-=+", arg[3])) {
            warn(p, arena_printf(p->arena,
                                 "option %s is deprecated; specify -XV%s instead", arg,
                                 arg + 2));
            out[count - 1] = arena_printf(p->arena, "-XV%s", arg + 2);
        } else if (strchr("ABCFLNORVXbefhopr", arg[1]) && !arg[2] && i + 1 < argc)
            out[count++] = argv[++i]; /* an argument, even if it begins with '-' */
    }
    out[count] = NULL;
    *argc_out = count;
    return out;
}

static bool check_together(struct parse *p)
{
    const struct sendmail_options *o = p->o;
    static const char *const no_recipient[] = {
        [MODE_SMTP] = "stand-alone mode requires no recipient",
        [MODE_LIST] = "display queue mode requires no recipient",
        [MODE_ALIASES] = "alias initialization mode requires no recipient",
        [MODE_DAEMON] = "daemon mode requires no recipient",
        [MODE_FLUSH] = "flush queue mode requires no recipient",
        [MODE_FLUSH_ID] = "flush queue mode requires no recipient",
        [MODE_FLUSH_SITE] = "flush queue mode requires no recipient",
    };

    if (o->extract && o->mode == MODE_VERIFY)
        return err_set(p->err, "-t option cannot be used with -bv");
    if (o->extract && o->mode != MODE_DELIVER)
        return err_set(p->err, "-t can be used only in delivery mode");
    if (o->verbose && o->mode == MODE_VERIFY)
        return err_set(p->err, "-v option cannot be used with -bv");
    if (o->recipients[0] && (size_t)o->mode < ARRAY_LEN(no_recipient) &&
        no_recipient[o->mode])
        return err_set(p->err, "%s", no_recipient[o->mode]);
    return true;
}

bool sendmail_options_parse(const char *program, int argc, char **argv,
                            struct arena *arena, struct sendmail_options *options_out,
                            struct sendmail_warnings *warnings_out, struct err *err)
{
    struct parse p = {options_out, warnings_out, arena, err};
    int letter;

    *options_out = (struct sendmail_options){.mode = MODE_DELIVER};
    *warnings_out = (struct sendmail_warnings){.count = 0};
    if (strcmp(program, "mailq") == 0)
        options_out->mode = MODE_LIST;
    else if (strcmp(program, "newaliases") == 0)
        options_out->mode = MODE_ALIASES;
    argv = rewrite_arguments(&p, argc, argv, &argc);
    argv[0] = (char *)program; /* for getopt()'s own messages */
    optind = 1;
    while ((letter = getopt(argc, argv, OPTION_LETTERS)) != -1)
        if (!one_option(&p, letter,
                        letter == 'q' && optarg[0] == ' ' ? optarg + 1 : optarg))
            return false;
    options_out->recipients = argv + optind;
    return check_together(&p);
}
