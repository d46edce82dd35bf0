/* The BASS functions that the examples call, so that they compile without bass.h. Your program includes bass.h. */
#ifndef BASS_H
#define BASS_H

#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
typedef uint32_t DWORD;
typedef int BOOL;
#endif
typedef DWORD HSTREAM;
typedef DWORD HRECORD;

#ifdef __cplusplus
extern "C" {
#endif

typedef DWORD(STREAMPROC)(HSTREAM stream, void *buffer, DWORD length, void *user);
typedef BOOL(RECORDPROC)(HRECORD record, const void *buffer, DWORD length, void *user);

#define BASS_SAMPLE_FLOAT 0x100
#define BASS_SAMPLE_LOOP 4
#define BASS_STREAM_DECODE 0x200000
#define STREAMPROC_DUMMY ((STREAMPROC *)0)
#define BASS_DATA_FLOAT 0x40000000
#define BASS_ERROR_HANDLE 5

BOOL BASS_Init(int device, DWORD freq, DWORD flags, void *window, void *guid);
BOOL BASS_Free(void);
int BASS_ErrorGetCode(void);
HSTREAM BASS_StreamCreate(DWORD freq, DWORD channels, DWORD flags, STREAMPROC *proc, void *user);
HSTREAM BASS_StreamCreateFile(BOOL in_memory, const void *file, uint64_t offset, uint64_t length, DWORD flags);
BOOL BASS_StreamFree(HSTREAM stream);
BOOL BASS_ChannelPlay(DWORD channel, BOOL restart);
BOOL BASS_ChannelPause(DWORD channel);
DWORD BASS_ChannelGetData(DWORD channel, void *buffer, DWORD length);
DWORD BASS_ChannelGetLevel(DWORD channel);
BOOL BASS_RecordInit(int device);
HRECORD BASS_RecordStart(DWORD freq, DWORD channels, DWORD flags, RECORDPROC *proc, void *user);

#ifdef __cplusplus
}
#endif

#endif
