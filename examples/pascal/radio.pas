{ radio.pas: plays a file in browsers. For Delphi and Free Pascal:

      fpc radio.pas && ./radio song.mp3

  On Windows the libraries of BASS and bass_webrtc, and the latter's folder bass_webrtc, are beside the program. }
program radio;

{$IFDEF MSWINDOWS}{$APPTYPE CONSOLE}{$ENDIF}

uses
  {$IFDEF FPC}{$IFDEF UNIX}cthreads,{$ENDIF}{$ENDIF}
  SysUtils, bass_webrtc;

const
  BassLibrary = {$IFDEF MSWINDOWS}'bass.dll'{$ELSE}'libbass.so'{$ENDIF};
  BASS_SAMPLE_LOOP = 4;
  BASS_STREAM_DECODE = $200000;
  BASS_UNICODE = $80000000;

{ In your program the unit "bass" of BASS declares these. }
function BASS_Init(device: Integer; freq, flags: Cardinal; window, guid: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassLibrary;
function BASS_StreamCreateFile(inMemory: LongBool; fileName: Pointer; offset, length: UInt64; flags: Cardinal): Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassLibrary;
function BASS_ChannelPlay(channel: Cardinal; restart: LongBool): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassLibrary;

procedure Fail(const message: string);
begin
  WriteLn(ErrOutput, message);
  Halt(1);
end;

var
  config: WebRtcConfigFFI;
  song: Cardinal;
  server: Pointer;
begin
  if ParamCount < 1 then
    Fail('usage: radio FILE [PORT]');
  { Device 0 is no sound: it needs no sound card. }
  if not BASS_Init(-1, 48000, 0, nil, nil) and not BASS_Init(0, 48000, 0, nil, nil) then
    Fail('BASS_Init failed');
  { BASS reads file names as UTF-16 with this flag; without it, on Windows only those of the system's code page. }
  {$IFDEF MSWINDOWS}
  song := BASS_StreamCreateFile(False, PWideChar(UnicodeString(ParamStr(1))), 0, 0,
    BASS_STREAM_DECODE or BASS_SAMPLE_LOOP or BASS_UNICODE);
  {$ELSE}
  song := BASS_StreamCreateFile(False, PAnsiChar(AnsiString(ParamStr(1))), 0, 0,
    BASS_STREAM_DECODE or BASS_SAMPLE_LOOP);
  {$ENDIF}
  if song = 0 then
    Fail('BASS cannot open ' + ParamStr(1));
  FillChar(config, SizeOf(config), 0);
  config.signaling_mode := BASS_WEBRTC_SIGNALING_HTTP;
  config.http_port := 8080;
  if ParamCount > 1 then
    config.http_port := StrToInt(ParamStr(2));
  server := BASS_WEBRTC_Create(song, @config);
  if (server = nil) or not BASS_WEBRTC_Start(server) then
    Fail(string(BASS_WEBRTC_ErrorGetMessage));
  BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), False); { what browsers send }
  WriteLn('Open http://127.0.0.1:', BASS_WEBRTC_GetPort(server), '/ and press Listen. Press Return to stop.');
  Flush(Output);
  ReadLn;
  BASS_WEBRTC_Free(server);
end.
