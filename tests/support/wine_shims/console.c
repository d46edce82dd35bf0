/* console.exe PROGRAM ARGUMENTS...: runs a program, and passes on a Ctrl-C that is typed into its console.
 *
 * Wine processes what is typed only while a program reads the console, so this one reads it. The program ends with this
 * one, however this one ends.
 */
#include <windows.h>

#include <stdio.h>
#include <wchar.h>

static BOOL WINAPI ignore_ctrl_c(DWORD event) { return event == CTRL_C_EVENT; }

static DWORD WINAPI read_console(void *console) {
    char typed[64];
    DWORD count;
    /* Ctrl-C aborts a read, successfully and with nothing read; the end of the console fails it. */
    while (ReadFile(console, typed, sizeof typed, &count, NULL) || GetLastError() == ERROR_OPERATION_ABORTED)
        ;
    return 0;
}

/* The rest of the command line after this program's own name. */
static wchar_t *program(void) {
    wchar_t *line = GetCommandLineW();
    line = *line == L'"' ? wcschr(line + 1, L'"') + 1 : line + wcscspn(line, L" ");
    return line + wcsspn(line, L" ");
}

int main(void) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {.BasicLimitInformation.LimitFlags =
                                                      JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};
    HANDLE job = CreateJobObjectW(NULL, NULL);
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION child;
    DWORD code;

    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limit, sizeof limit);
    if (!CreateProcessW(NULL, program(), NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &startup, &child)) {
        fprintf(stderr, "console.exe: error %lu\n", GetLastError());
        return 1;
    }
    AssignProcessToJobObject(job, child.hProcess);
    SetConsoleCtrlHandler(ignore_ctrl_c, TRUE);
    CreateThread(NULL, 0, read_console, GetStdHandle(STD_INPUT_HANDLE), 0, NULL);
    ResumeThread(child.hThread);
    WaitForSingleObject(child.hProcess, INFINITE);
    GetExitCodeProcess(child.hProcess, &code);
    return (int)code;
}
