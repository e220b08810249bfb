/* A stand-in for NVIDIA's driver: what Rosetta calls of libcuda.so.1 and libnvidia-ml.so.1, on cards that CARDS lists as
   {name, uuid, major, minor, divided}. The sensors of every card read 250 W and 60 degrees, whatever runs. The
   prototypes are those of cuda.h and nvml.h, with plain types. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct card { const char *name, *uuid; unsigned major, minor, divided; } cards[] = {CARDS};
enum { COUNT = sizeof cards / sizeof *cards, INVALID = 2, NOT_FOUND = 6, MILLIWATTS = 250000 };
typedef const struct card *device;

/* libnvidia-ml.so.1 */
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int error) { return "an error of the stand-in"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { return snprintf(text, size, "580.95.05") < 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return *version = 13000, 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { return *count = COUNT, 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *found) {
    return index < COUNT ? (*found = &cards[index], 0) : INVALID;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, device *found) {
    for (*found = cards; *found < cards + COUNT; ++*found)
        if (!strcmp((*found)->uuid, uuid)) return 0;
    return NOT_FOUND;
}
int nvmlDeviceGetName(device card, char *text, unsigned size) { return snprintf(text, size, "%s", card->name) < 0; }
int nvmlDeviceGetUUID(device card, char *text, unsigned size) { return snprintf(text, size, "%s", card->uuid) < 0; }
int nvmlDeviceGetCudaComputeCapability(device card, int *major, int *minor) {
    return *major = card->major, *minor = card->minor, 0;
}
int nvmlDeviceGetMemoryInfo(device card, uint64_t *bytes) { /* total, free, used */
    return bytes[0] = 128ULL << 30, bytes[1] = 120ULL << 30, bytes[2] = 8ULL << 30, 0;
}
int nvmlDeviceGetEnforcedPowerLimit(device card, unsigned *milliwatts) { return *milliwatts = 700000, 0; }
int nvmlDeviceGetEccMode(device card, unsigned *now, unsigned *next) { return *now = *next = 1, 0; }
int nvmlDeviceGetPersistenceMode(device card, unsigned *on) { return *on = 1, 0; }
int nvmlDeviceGetMigMode(device card, unsigned *now, unsigned *next) { return *now = *next = card->divided, 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(device card, unsigned *count, void *infos) { return *count = 0, 0; }
int nvmlDeviceGetUtilizationRates(device card, unsigned *percent) { return percent[0] = 90, percent[1] = 40, 0; }
int nvmlDeviceGetPowerUsage(device card, unsigned *milliwatts) { return *milliwatts = MILLIWATTS, 0; }
int nvmlDeviceGetTemperature(device card, int sensor, unsigned *celsius) { return *celsius = 60, 0; }
int nvmlDeviceGetClockInfo(device card, int clock, unsigned *mhz) { return *mhz = 1400, 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(device card, uint64_t *reasons) { return *reasons = 1, 0; } /* idle */
int nvmlDeviceGetTotalEnergyConsumption(device card, uint64_t *millijoules) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return *millijoules = (uint64_t)((now.tv_sec + now.tv_nsec / 1e9) * MILLIWATTS), 0;
}

/* libcuda.so.1, whose devices are those that CUDA_VISIBLE_DEVICES names by their UUIDs, in its order */
static int visible[COUNT], visible_count;
int cuInit(unsigned flags) {
    const char *chosen = getenv("CUDA_VISIBLE_DEVICES");
    visible_count = 0;
    for (const char *at = chosen ? chosen : ""; visible_count < COUNT; at += strcspn(at, ","), at += *at == ',') {
        int number = chosen ? 0 : visible_count;
        while (number < COUNT && chosen && strncmp(at, cards[number].uuid, strlen(cards[number].uuid))) ++number;
        if (number == COUNT) break;
        visible[visible_count++] = number;
    }
    return visible_count ? 0 : 100; /* CUDA_ERROR_NO_DEVICE */
}
int cuDeviceGetCount(int *count) { return *count = visible_count, 0; }
int cuDeviceGet(int *found, int index) { return index < visible_count ? (*found = index, 0) : 101; }
int cuDeviceGetName(char *text, int size, int index) { return snprintf(text, size, "%s", cards[visible[index]].name) < 0; }
int cuDeviceGetAttribute(int *value, int attribute, int index) { /* 75, 76: compute capability */
    return *value = attribute == 75 ? cards[visible[index]].major : cards[visible[index]].minor, 0;
}
int cuDeviceGetUuid_v2(unsigned char *raw, int index) {
    const char *at = cards[visible[index]].uuid + strlen("GPU-");
    for (int byte = 0; byte < 16; ++byte, at += 2) {
        at += *at == '-';
        unsigned value;
        sscanf(at, "%2x", &value);
        raw[byte] = value;
    }
    return 0;
}
