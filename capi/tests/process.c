/* The library, named by the argument, is loaded and unloaded, and its process forks. */
#define _GNU_SOURCE
#include "softdot.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 40, KEYS = 1100, DIM = 48 };

static float query[ROWS][DIM], key[KEYS][DIM], expected[ROWS][KEYS];
static const char *path;

#define FUNCTIONS(X)                                                                             \
    X(softdot_status, softdot_attention, (const softdot_call *, char *, size_t))                 \
    X(softdot_status, softdot_pool_create, (int64_t, softdot_pool **, char *, size_t))           \
    X(void, softdot_pool_free, (softdot_pool *))

/* The functions of a library that is loaded. */
typedef struct {
    void *handle;
#define FIELD(result, name, arguments) result(*name) arguments;
    FUNCTIONS(FIELD)
} library;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    _exit(1);
}

static library load(void) {
    library loaded = {.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!loaded.handle)
        fail("dlopen", dlerror());
#define FIND(result, name, arguments)                        \
    {                                                        \
        void *found = dlsym(loaded.handle, #name);           \
        if (!found)                                          \
            fail("dlsym", #name);                            \
        memcpy(&loaded.name, &found, sizeof found);          \
    }
    FUNCTIONS(FIND)
    return loaded;
}

/* The weights, with a pool or without. */
static softdot_status compute(const library *loaded, softdot_pool *pool, float *result,
                              char *message, size_t message_size) {
    const softdot_view query_view = {query, SOFTDOT_F32, 0, {1, 1, ROWS, DIM}, {0, 0, DIM, 1}};
    const softdot_view key_view = {key, SOFTDOT_F32, 0, {1, 1, KEYS, DIM}, {0, 0, DIM, 1}};
    const softdot_target target = {result, SOFTDOT_F32, 0, {1, 1, ROWS, KEYS}, {0, 0, KEYS, 1}};
    const softdot_outputs outputs = {.struct_size = sizeof outputs, .weights = &target};
    const softdot_call call = {.struct_size = sizeof call,
                               .query = &query_view,
                               .key = &key_view,
                               .outputs = &outputs,
                               .pool = pool};
    return loaded->softdot_attention(&call, message, message_size);
}

static void expect_weights(const library *loaded, softdot_pool *pool) {
    static _Thread_local float result[ROWS][KEYS];
    char message[256];
    memset(result, 0, sizeof result);
    if (compute(loaded, pool, result[0], message, sizeof message) != SOFTDOT_OK)
        fail("softdot_attention", message);
    if (memcmp(result, expected, sizeof result) != 0)
        fail("softdot_attention", "expected the bits of one thread");
}

static softdot_pool *make_pool(const library *loaded) {
    softdot_pool *pool = NULL;
    char message[256];
    if (loaded->softdot_pool_create(3, &pool, message, sizeof message) != SOFTDOT_OK)
        fail("softdot_pool_create", message);
    return pool;
}

/* What one thread computes. */
static void *set_expected(void *argument) {
    char message[256];
    if (compute(argument, NULL, expected[0], message, sizeof message) != SOFTDOT_OK)
        fail("softdot_attention", message);
    return NULL;
}

/* Computes alone and on a pool, and frees the pool. */
static void *use(void *argument) {
    const library *loaded = argument;
    softdot_pool *pool = make_pool(loaded);
    for (int i = 0; i < 5; i++) {
        expect_weights(loaded, NULL);
        expect_weights(loaded, pool);
    }
    loaded->softdot_pool_free(pool);
    return NULL;
}

static pthread_t start(void *(*work)(void *), library *loaded) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, loaded) != 0)
        fail("pthread_create", "failed");
    return thread;
}

/* Loads the library, does work on a thread, and unloads it once that has ended: what the library keeps
 * for a thread goes with this. */
static void load_and_unload(void *(*work)(void *)) {
    library loaded = load();
    pthread_join(start(work, &loaded), NULL);
    if (dlclose(loaded.handle) != 0)
        fail("dlclose", dlerror());
    if (dlopen(path, RTLD_NOW | RTLD_NOLOAD))
        fail("dlclose", "expected the library to be gone");
}

/* What a child can do: call, make pools of its own, be refused its parent's, and free that. */
static int child(const library *loaded, softdot_pool *parents) {
    char message[256];
    static float untouched[ROWS][KEYS];
    expect_weights(loaded, NULL);
    softdot_pool *pool = make_pool(loaded);
    expect_weights(loaded, pool);
    loaded->softdot_pool_free(pool);
    softdot_status status = compute(loaded, parents, untouched[0], message, sizeof message);
    if (status != SOFTDOT_INVALID_ARGUMENT || strncmp(message, "pool: ", 6) != 0)
        fail("the parent's pool", message);
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < KEYS; i++)
            if (untouched[row][i] != 0)
                fail("the parent's pool", "expected nothing to be written");
    loaded->softdot_pool_free(parents);
    return 0;
}

/* While another thread computes on a pool of its own. */
static void forks(library *loaded) {
    softdot_pool *pool = make_pool(loaded);
    expect_weights(loaded, pool);
    pthread_t thread = start(use, loaded);
    for (int round = 0; round < 3; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(60); /* A child that waits for a thread that is not there. */
            _exit(child(loaded, pool));
        }
        int status = -1;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            fail("fork", "expected a child that ends well");
    }
    pthread_join(thread, NULL);
    expect_weights(loaded, pool);
    loaded->softdot_pool_free(pool);
}

int main(int count, char **arguments) {
    if (count != 2)
        fail("usage", "process LIBRARY");
    path = arguments[1];
    for (int i = 0; i < DIM; i++) {
        for (int row = 0; row < ROWS; row++)
            query[row][i] = (float)((row + i) % 7) / 7;
        for (int row = 0; row < KEYS; row++)
            key[row][i] = (float)((row * i) % 11) / 11;
    }
    load_and_unload(set_expected);
    load_and_unload(use);
    load_and_unload(use);
    library loaded = load();
    forks(&loaded);
    dlclose(loaded.handle);
    printf("0 failures\n");
    return 0;
}
