/* SPDX-License-Identifier: BSL-1.0 */
/* What a program on hiredis sees: hiredis_client PORT sends commands one by one, in pipelines and
   asynchronously, and prints every reply. The test compares what it prints about two servers. */
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

static void fail(const char* what, const char* why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void print_bytes(const char* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        const unsigned char c = (unsigned char)bytes[i];
        printf(isprint(c) && c != '\\' ? "%c" : "\\x%02x", c);
    }
}

static void print(const redisReply* reply) {
    if (reply == NULL) fail("reply", "none");
    switch (reply->type) {
        case REDIS_REPLY_INTEGER:
            printf("integer %lld\n", reply->integer);
            break;
        case REDIS_REPLY_NIL:
            printf("nil\n");
            break;
        case REDIS_REPLY_ARRAY:
            printf("array %zu\n", reply->elements);
            for (size_t i = 0; i < reply->elements; ++i) print(reply->element[i]);
            break;
        default:
            printf("%s %zu ",
                   reply->type == REDIS_REPLY_STRING   ? "string"
                   : reply->type == REDIS_REPLY_STATUS ? "status"
                                                       : "error",
                   (size_t)reply->len);
            print_bytes(reply->str, (size_t)reply->len);
            printf("\n");
    }
}

static void show(redisContext* redis, void* reply) {
    if (reply == NULL) fail("hiredis", redis->errstr);
    print(reply);
    freeReplyObject(reply);
}

static void one_by_one(redisContext* redis) {
    static const char binary[] = "a\0b\r\n$3\r\n\xff\x80 \"'";
    static const char* const words[] = {"FLUSHALL",       "PING",          "PING hello",
                                        "ECHO hi",        "SELECT 3",      "SELECT 0",
                                        "SET n 41",       "INCR n",        "GET n",
                                        "GET none",       "INCRBY n x",    "SET t v EX 100",
                                        "TTL t",          "PERSIST t",     "TTL t",
                                        "RPUSH l a b c",  "LRANGE l 0 -1", "LRANGE none 0 -1",
                                        "LPOP l",         "GET l",         "HSET h field 1",
                                        "HGET h field",   "HGETALL h",     "MGET n none l",
                                        "TYPE h",         "SET n 1 NX",    "NOSUCH command",
                                        "SET n",          "EXISTS n n",    "DBSIZE",
                                        "CLIENT GETNAME", "DEL n t l h",   "SCAN 0",
                                        "KEYS *",         "SELECT 99"};
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i)
        show(redis, redisCommand(redis, words[i]));

    show(redis, redisCommand(redis, "SET %b %b", binary, sizeof binary, binary, sizeof binary));
    show(redis, redisCommand(redis, "GET %b", binary, sizeof binary));
    show(redis, redisCommand(redis, "KEYS *"));
    show(redis, redisCommand(redis, "APPEND %b %b", binary, sizeof binary, "", (size_t)0));
    show(redis, redisCommand(redis, "SET empty %s", ""));
    show(redis, redisCommand(redis, "GET empty"));

    const char* parts[] = {"RPUSH", "list", "", "\0", "two words"};
    const size_t sizes[] = {5, 4, 0, 1, 9};
    show(redis, redisCommandArgv(redis, 5, parts, sizes));
    show(redis, redisCommand(redis, "LRANGE list 0 -1"));

    const size_t large = 3 * 1000 * 1000;
    char* const bytes = malloc(large);
    if (bytes == NULL) fail("malloc", "out of memory");
    for (size_t i = 0; i < large; ++i) bytes[i] = (char)(i * 31);
    show(redis, redisCommand(redis, "SET large %b", bytes, large));
    redisReply* const back = redisCommand(redis, "GET large");
    if (back == NULL) fail("hiredis", redis->errstr);
    printf("the large value is %s\n",
           (size_t)back->len == large && memcmp(back->str, bytes, large) == 0 ? "the same"
                                                                              : "another");
    freeReplyObject(back);
    free(bytes);
}

static void in_pipelines(redisContext* redis) {
    enum { count = 3000 };
    for (int i = 0; i < count; ++i) {
        redisAppendCommand(redis, "SET key:%d %b", i, "\0\n", (size_t)2);
        redisAppendCommand(redis, "INCRBY counter %d", i);
        redisAppendCommand(redis, "GET key:%d", i);
    }
    for (int i = 0; i < 3 * count; ++i) {
        void* reply = NULL;
        if (redisGetReply(redis, &reply) != REDIS_OK) fail("pipeline", redis->errstr);
        show(redis, reply);
    }
}

static void answered(redisAsyncContext* redis, void* reply, void* left) {
    if (reply == NULL) fail("async", redis->errstr);
    print(reply);
    --*(int*)left;
}

static void asynchronously(int port) {
    redisAsyncContext* const redis = redisAsyncConnect("127.0.0.1", port);
    if (redis == NULL || redis->err != 0)
        fail("async", redis != NULL ? redis->errstr : "no memory");
    int left = 500;
    for (int i = left; i > 0; --i) redisAsyncCommand(redis, answered, &left, "RPUSH async %d", i);
    while (left > 0) {
        struct pollfd ready = {redis->c.fd, POLLIN | POLLOUT, 0};
        if (redis->c.obuf[0] == '\0') ready.events = POLLIN;
        if (poll(&ready, 1, -1) != 1) fail("poll", "nothing");
        if ((ready.revents & POLLOUT) != 0) redisAsyncHandleWrite(redis);
        if ((ready.revents & ~POLLOUT) != 0) redisAsyncHandleRead(redis);
    }
    redisAsyncFree(redis);
}

int main(int argc, char** argv) {
    if (argc != 2) fail("usage", "hiredis_client PORT");
    const int port = atoi(argv[1]);
    redisContext* const redis = redisConnect("127.0.0.1", port);
    if (redis == NULL || redis->err != 0)
        fail("connect", redis != NULL ? redis->errstr : "no memory");
    one_by_one(redis);
    in_pipelines(redis);
    asynchronously(port);
    show(redis, redisCommand(redis, "LRANGE async 0 -1"));
    show(redis, redisCommand(redis, "QUIT"));
    redisFree(redis);
    return 0;
}
