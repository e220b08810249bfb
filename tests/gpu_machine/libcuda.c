/* The few functions of the NVIDIA driver that say which GPUs there are. Their UUIDs stand in the variables FAKE_GPU_0,
   FAKE_GPU_1, …, or in /etc/fake-gpus, separated by commas, where a hook has written it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 16

static char uuids[MOST][64];
static int count;

static void add(const char *uuid)
{
    if (uuid && count < MOST)
        strncpy(uuids[count++], uuid, sizeof uuids[0] - 1);
}

int cuInit(unsigned flags)
{
    char text[1024], name[16];
    count = 0;
    for (int i = 0; i < MOST; i++) {
        snprintf(name, sizeof name, "FAKE_GPU_%d", i);
        add(getenv(name));
    }
    FILE *file = fopen("/etc/fake-gpus", "r");
    if (file) {
        if (fgets(text, sizeof text, file))
            for (char *one = strtok(text, ","); one; one = strtok(NULL, ","))
                add(one);
        fclose(file);
    }
    return count ? 0 : 100; /* CUDA_ERROR_NO_DEVICE */
}

int cuDeviceGetCount(int *result) { *result = count; return 0; }

int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal < count ? 0 : 101; }

int cuDeviceGetUuid_v2(unsigned char *bytes, int device)
{
    const char *digit = uuids[device] + strlen("GPU-");
    for (int i = 0; i < 16; i++, digit += 2) {
        digit += *digit == '-';
        sscanf(digit, "%2hhx", &bytes[i]);
    }
    return 0;
}
