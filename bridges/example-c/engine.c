// A worker in C that speaks the protocol of docs/reference/protocol.md with nothing but POSIX. It recognizes
// no words: for every half second of audio it says "sound" or "silence". Copy it and put an engine in the
// places marked ENGINE.   cc -O2 -o engine engine.c -lm -lpthread

#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RATE = 16000, WINDOW = RATE / 2, DEPTH = 64, LINE = 8 << 20 };

// --- JSON: as much as a call needs. Values are used where they stand in the line. ----------------

static const char *blank(const char *at) { return at + strspn(at, " \t\r\n"); }

// The end of the value that begins here; NULL if it is not JSON.
static const char *past(const char *at, int depth) {
  at = blank(at);
  if (*at == '"') {
    for (at++; *at != '"'; at++) {
      if (*at == '\\') at++;
      if ((unsigned char)*at < ' ') return NULL;
    }
    return at + 1;
  }
  if (*at == '{' || *at == '[') {
    char close = *at == '{' ? '}' : ']';
    if (depth == DEPTH) return NULL;
    at = blank(at + 1);
    if (*at == close) return at + 1;
    for (;;) {
      if (close == '}') {
        if (*at != '"' || !(at = past(at, depth)) || *(at = blank(at)) != ':') return NULL;
        at++;
      }
      if (!(at = past(at, depth + 1))) return NULL;
      at = blank(at);
      if (*at == close) return at + 1;
      if (*at != ',') return NULL;
      at = blank(at + 1);
    }
  }
  for (const char *const *word = (const char *const[]){"true", "false", "null", NULL}; *word; word++)
    if (!strncmp(at, *word, strlen(*word))) return at + strlen(*word);
  char *end;
  strtod(at, &end);
  return end > at && strchr("-0123456789", *at) ? end : NULL;
}

// The value of a member of an object; NULL if there is none.
static const char *member(const char *object, const char *name) {
  size_t length = strlen(name);
  if (!object || *(object = blank(object)) != '{') return NULL;
  for (const char *at = blank(object + 1); *at == '"'; at = blank(*at == ',' ? at + 1 : at)) {
    const char *end = past(at, 0), *value = blank(blank(end) + 1);
    if (end - at == (long)length + 2 && !strncmp(at + 1, name, length)) return value;
    at = blank(past(value, 0));
  }
  return NULL;
}

// A text, decoded; NULL if the value is none. Escapes of one UTF-16 unit are enough for paths.
static char *text(const char *value) {
  if (!value || *value != '"') return NULL;
  char *decoded = malloc(strlen(value) + 1), *to = decoded;
  for (value++; *value != '"'; value++) {
    unsigned unit;
    if (*value != '\\') *to++ = *value;
    else if (*++value == 'u' && sscanf(value + 1, "%4x", &unit) == 1) {
      if (unit >= 0x800) *to++ = (char)(0xE0 | unit >> 12);
      if (unit >= 0x80) *to++ = (char)(unit < 0x800 ? 0xC0 | unit >> 6 : 0x80 | (unit >> 6 & 63));
      *to++ = (char)(unit < 0x80 ? unit : 0x80 | (unit & 63));
      value += 4;
    } else *to++ = *value == 'n' ? '\n' : *value == 't' ? '\t' : *value;
  }
  *to = 0;
  return decoded;
}

// --- Answers --------------------------------------------------------------------------------------

static FILE *out;            // the real stdout: nothing else may be written to it
static char id[64] = "null"; // of the call that is answered, exactly as it came

static void refuse(int code, const char *message) { // codes: docs/reference/protocol.md
  fprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,\"message\":\"%s\"}}\n", id, code,
          message);
}

static void begin(void) { fprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{", id); }
static void end(void) { fputs("}}\n", out); }

// Text within a JSON string. ENGINE: it has to be UTF-8.
static void put_text(const char *text) {
  for (; *text; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte == '"' || byte == '\\') fprintf(out, "\\%c", byte);
    else if (byte < ' ') fprintf(out, "\\u%04x", byte);
    else fputc(byte, out);
  }
}

static double now(void) { // seconds, of a clock that never goes back
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// --- The calls ------------------------------------------------------------------------------------

static bool loaded = false;

static void hello(const char *params) {
  const char *protocol = member(params, "protocol");
  if (protocol && strtod(protocol, NULL) != 1) {
    refuse(-32602, "this worker speaks protocol 1");
    return;
  }
  begin(); // ENGINE: its version, and of every library that could change a number
  fputs("\"protocol\":1,\"name\":\"example-c\",\"version\":\"1\",\"versions\":{}", out);
  end();
}

static void load(const char *params) {
  double started = now();
  char *path = text(member(member(params, "model"), "path"));
  if (!path) {
    refuse(-32602, "model.path is missing");
  } else if (*path && access(path, R_OK) != 0) {
    refuse(-32002, "no such weights");
  } else {
    // ENGINE: obey member(params, "threads"), its "device" and the "precision" of its "model", which may
    // be "auto"; refuse(-32002, ...) what cannot be obeyed. This example has one thread and one device.
    loaded = true; // ENGINE: read the weights here, all of them, so that no later call has to
    begin(); // ENGINE: the device and the precision that it really computes in
    fprintf(out, "\"load_s\":%.6f,\"device\":\"cpu\",\"precision\":\"float64\"", now() - started);
    end();
  }
  free(path);
}

// The samples, little-endian float32 as on this machine; NULL if the file does not have that many.
static float *samples_of(const char *path, long count) {
  FILE *file = count > 0 && count < 1L << 32 ? fopen(path, "rb") : NULL;
  float *samples = file ? malloc((size_t)count * sizeof *samples) : NULL;
  bool whole = samples && fread(samples, sizeof *samples, (size_t)count, file) == (size_t)count;
  bool more = whole && fgetc(file) != EOF;
  if (file) fclose(file);
  for (long at = 0; whole && at < count; at++) whole = isfinite(samples[at]);
  if (whole && !more) return samples;
  free(samples);
  return NULL;
}

// ENGINE: from samples to all of their text, which the caller frees.
static char *listen(const float *samples, long count) {
  char *heard = malloc((size_t)((count + WINDOW - 1) / WINDOW) * sizeof " silence"), *end = heard;
  for (long start = 0; heard && start < count; start += WINDOW) {
    double power = 0;
    long stop = start + WINDOW < count ? start + WINDOW : count;
    for (long at = start; at < stop; at++) power += (double)samples[at] * samples[at];
    bool sound = sqrt(power / (double)(stop - start)) > 0.01; // -40 dB of full scale
    end = stpcpy(end, sound ? " sound" : " silence");
  }
  return heard;
}

static void transcribe(const char *params) {
  const char *audio = member(params, "audio"), *number = member(audio, "samples");
  char *path = text(member(audio, "path"));
  long count = number ? strtol(number, NULL, 10) : 0;
  float *samples = NULL; // read before the clock starts: the file is not the engine's work
  if (!loaded) {
    refuse(-32006, "load a model first");
  } else if (!path || !number) {
    refuse(-32602, "audio.path or audio.samples is missing");
  } else if (!(samples = samples_of(path, count))) {
    refuse(-32003, "not so many finite float32 samples");
  } else {
    // ENGINE: decode with each setting of member(params, "contract"), such as "beam_size"; null: your own.
    double started = now();
    char *heard = listen(samples, count);
    double seconds = now() - started; // all of the text is there
    begin();
    fprintf(out, "\"seconds\":%.9f,\"text\":\"", seconds > 0 ? seconds : 1e-9);
    if (heard) put_text(heard);
    // ENGINE: what was really done, for every setting of the contract. null: unknown, or does not apply;
    // then it is ranked apart from engines that kept the contract.
    fputs("\",\"effective\":{\"language\":null,\"task\":null,\"beam_size\":null,\"best_of\":null,"
          "\"temperatures\":null,\"condition_on_previous_text\":false,\"vad\":false,"
          "\"timestamps\":null,\"window\":null,\"batch_size\":1},"
          "\"remarks\":[\"tells sound from silence, not words\"]", out);
    end();
    free(heard);
  }
  free(samples);
  free(path);
}

static void unload(const char *params) {
  (void)params;
  if (!loaded) {
    refuse(-32006, "nothing is loaded");
  } else {
    loaded = false; // ENGINE: give the memory back
    begin();
    end();
  }
}

static void shutdown_worker(const char *params) {
  (void)params;
  begin();
  end();
  fflush(out);
  _exit(0);
}

static const struct {
  const char *name;
  void (*call)(const char *params);
} METHODS[] = {{"hello", hello},   {"load", load},     {"transcribe", transcribe},
               {"unload", unload}, {"shutdown", shutdown_worker}};

static void answer(const char *line) {
  strcpy(id, "null");
  const char *stop = past(line, 0), *identity = stop ? member(line, "id") : NULL;
  if (!stop || *blank(stop)) {
    refuse(-32700, "not JSON");
    return;
  }
  size_t length = identity ? (size_t)(past(identity, 0) - identity) : sizeof id;
  if (length < sizeof id) memcpy(id, identity, length), id[length] = 0;
  char *name = text(member(line, "method"));
  size_t each = 0, count = sizeof METHODS / sizeof *METHODS;
  while (name && each < count && strcmp(name, METHODS[each].name)) each++;
  if (!name)
    refuse(-32600, "not a call");
  else if (each == count)
    refuse(-32601, "no such method");
  else
    METHODS[each].call(member(line, "params"));
  free(name);
}

// --- The pipes ------------------------------------------------------------------------------------

static int to_engine;

// Passes stdin on, so that its end is seen while the engine computes: the tool has gone, so do we.
static void *watch_input(void *nothing) {
  static char buffer[1 << 16];
  ssize_t got;
  while ((got = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
    for (ssize_t sent = 0, now; sent < got; sent += now)
      if ((now = write(to_engine, buffer + sent, (size_t)(got - sent))) <= 0) _exit(1);
  _exit(0);
  return nothing;
}

int main(void) {
  int ends[2];
  pthread_t watcher;
  char *line = malloc(LINE);
  // Whatever a library prints goes to stderr, which is the log.
  if (!line || pipe(ends) || !(out = fdopen(dup(STDOUT_FILENO), "w"))) return 1;
  if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return 1;
  to_engine = ends[1];
  if (pthread_create(&watcher, NULL, watch_input, NULL)) return 1;
  FILE *calls = fdopen(ends[0], "r");
  while (calls && fgets(line, LINE, calls)) {
    answer(line);
    fflush(out);
  }
  return 1;
}
