#include "global/mail_table.h"

#include "global/reindex_client.h"

static const char *param(void *arg, const char *name)
{
    return config_value(arg, name);
}

static bool reindex(void *arg, const char *type, const char *path, struct err *err)
{
    return reindex_ask(arg, type, path, err);
}

static struct table_env *make_env(const struct config *cfg)
{
    struct table_env *env = arena_alloc(cfg->arena, sizeof(*env));

    *env = (struct table_env){.param = param, .arg = (void *)cfg};
    return env;
}

const struct table_env *mail_table_env(const struct config *cfg)
{
    struct table_env *env = make_env(cfg);

    env->reindex = reindex;
    return env;
}

const struct table_env *mail_table_env_as_is(const struct config *cfg)
{
    return make_env(cfg);
}

unsigned mail_table_flags(const struct config *cfg)
{
    return cfg->smtputf8_enable ? TABLE_UTF8 : 0;
}

struct maps *mail_maps(const struct config *cfg, const char *title, const char *names)
{
    return maps_open(mail_table_env(cfg), title, names, mail_table_flags(cfg));
}
