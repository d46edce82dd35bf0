/* console.exe PROGRAM ARGUMENTS...: runs a program in a console, and interrupts it when Ctrl-C is typed there.
 *
 * Wine only ends a pending read when Ctrl-C is typed, so this program reads the console and raises the event. The
 * program ends with this one, however this one ends.
 */
#include <windows.h>

#include <stdio.h>
#include <wchar.h>

static BOOL WINAPI ignore_ctrl_c(DWORD event) { return event == CTRL_C_EVENT; }

static DWORD WINAPI read_console(void *console) {
    char typed[64];
    DWORD count;
    while (ReadFile(console, typed, sizeof typed, &count, NULL))
        GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0);
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
