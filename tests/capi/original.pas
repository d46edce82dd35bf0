// original OFFER ANSWER CANDIDATE ICE_SERVER: original.c in Pascal.
program original;

{$IFDEF FPC}{$MODE DELPHI}{$ENDIF}

uses
  {$IFDEF UNIX}cthreads,{$ENDIF} Classes, SysUtils, bass_webrtc;

const
  BASS_SAMPLE_FLOAT = $100;
  BASS_STREAM_DECODE = $200000;
  BASS = 'libbass.so';

function BASS_Init(device: Integer; freq, flags: Cardinal; window, guid: Pointer): LongBool; cdecl; external BASS;
function BASS_StreamCreate(freq, channels, flags: Cardinal; proc, user: Pointer): HSTREAM; cdecl; external BASS;
function BASS_Free: LongBool; cdecl; external BASS;

var
  // What the callbacks were told. One thread writes, another reads.
  ToldAnswer, ToldCandidate: array[0..BASS_WEBRTC_ANSWER_CAPACITY - 1] of AnsiChar;
  HasCandidate: LongBool = False;
  ToldState: Cardinal = PEER_STATE_NEW;

procedure Check(Condition: LongBool; What: string);
begin
  if Condition then
    Exit;
  WriteLn(StdErr, 'not so: ', What, ' (error ', BASS_WEBRTC_ErrorGetCode, ': ', BASS_WEBRTC_ErrorGetMessage, ')');
  Halt(1);
end;

procedure CheckWorks(Result: LongBool; What: string);
begin
  Check(Result and (BASS_WEBRTC_ErrorGetCode = BASS_WEBRTC_OK) and (BASS_WEBRTC_ErrorGetMessage = ''), What);
end;

procedure TellSdp(peer_id: Cardinal; sdp_type, sdp: PAnsiChar; user: Pointer); cdecl;
begin
  Check((peer_id = 0) and (sdp_type = 'answer') and (user = @ToldAnswer), 'on_sdp');
  StrLCopy(ToldAnswer, sdp, SizeOf(ToldAnswer) - 1);
end;

procedure TellCandidate(peer_id: Cardinal; candidate, sdp_mid: PAnsiChar; sdp_mline_index: Cardinal;
  user: Pointer); cdecl;
begin
  Check((peer_id = 0) and (sdp_mid <> nil) and (sdp_mline_index = 0) and (user = @ToldAnswer), 'on_ice_candidate');
  if candidate^ = #0 then // There are no more.
    Exit;
  StrLCopy(ToldCandidate, candidate, SizeOf(ToldCandidate) - 1);
  HasCandidate := True;
end;

procedure TellState(peer_id, state: Cardinal; user: Pointer); cdecl;
begin
  Check((peer_id = 0) and (user = @ToldAnswer), 'on_peer_state');
  ToldState := state;
end;

function ReadText(const Path: string): AnsiString;
begin
  with TFileStream.Create(Path, fmOpenRead) do
  begin
    SetLength(Result, Size);
    ReadBuffer(Result[1], Size);
    Free;
  end;
end;

procedure WriteText(const Path: string; Text: PAnsiChar);
begin
  with TFileStream.Create(Path, fmCreate) do
  begin
    WriteBuffer(Text^, StrLen(Text));
    Free;
  end;
end;

procedure CheckErrorsInWords(Server: Pointer);
begin
  Check(not BASS_WEBRTC_AddIceServer(Server, 'st'#$C3#$BC'n:', nil, nil), 'a wrong URL');
  Check(BASS_WEBRTC_ErrorGetCode = BASS_WEBRTC_ERROR_ILLPARAM, 'its code');
  Check(Pos(AnsiString('st'#$C3#$BC'n:'), AnsiString(BASS_WEBRTC_ErrorGetMessage)) > 0, 'UTF-8, in and out');
end;

var
  Config: WebRtcConfigFFI;
  Callbacks: SignalingCallbacks;
  Stats: WebRtcStatsFFI;
  PeerStats: WebRtcPeerStatsFFI;
  Answer: array[0..BASS_WEBRTC_ANSWER_CAPACITY - 1] of AnsiChar;
  Length: Cardinal;
  Song: HSTREAM;
  Server: Pointer;
begin
  FillChar(Config, SizeOf(Config), 0);
  Config.signaling_mode := BASS_WEBRTC_SIGNALING_CALLBACK;
  Callbacks.on_sdp := TellSdp;
  Callbacks.on_ice_candidate := TellCandidate;
  Callbacks.on_peer_state := TellState;
  Callbacks.user_data := @ToldAnswer;
  Check(BASS_WEBRTC_GetVersion = BASS_WEBRTC_VERSION, 'GetVersion');
  Check(BASS_Init(0, 48000, 0, nil, nil), 'BASS_Init');
  Song := BASS_StreamCreate(48000, 2, BASS_STREAM_DECODE or BASS_SAMPLE_FLOAT, nil, nil);

  Server := BASS_WEBRTC_Create(Song, @Config);
  CheckWorks(Server <> nil, 'Create');
  CheckErrorsInWords(Server);
  CheckWorks(BASS_WEBRTC_AddIceServer(Server, PAnsiChar(ParamStr(4)), nil, nil), 'AddIceServer');
  CheckWorks(BASS_WEBRTC_SetCallbacks(Server, @Callbacks), 'SetCallbacks');
  CheckWorks(BASS_WEBRTC_Start(Server), 'Start');
  CheckWorks(BASS_WEBRTC_AddPeer(Server, PAnsiChar(ReadText(ParamStr(1))), Answer, @Length) = 0, 'AddPeer');
  Check(Length = StrLen(Answer), 'its length');
  WriteText(ParamStr(2), Answer);
  WriteLn('answered');
  Flush(Output);
  CheckWorks(BASS_WEBRTC_AddIceCandidate(Server, 0, PAnsiChar(ParamStr(3))), 'AddIceCandidate');
  while not HasCandidate do
    Sleep(10);
  WriteLn(ToldCandidate);
  Flush(Output);
  while ToldState <> PEER_STATE_CONNECTED do
    Sleep(10);
  Check(StrComp(ToldAnswer, Answer) = 0, 'the same answer');
  CheckWorks(BASS_WEBRTC_GetInputStream(Server) <> 0, 'GetInputStream');
  repeat
    Sleep(10);
    CheckWorks(BASS_WEBRTC_GetStats(Server, Stats), 'GetStats');
  until Stats.total_packets_sent > 0;
  Check(Stats.active_peers = 1, 'one peer');
  CheckWorks(BASS_WEBRTC_GetPeerStats(Server, 0, PeerStats), 'GetPeerStats');
  Check((Pos(':', PeerStats.local_address) > 0) and (Pos(':', PeerStats.remote_address) > 0), 'addresses');
  CheckWorks(BASS_WEBRTC_RemovePeer(Server, 0), 'RemovePeer');
  while ToldState <> PEER_STATE_CLOSED do
    Sleep(10);
  CheckWorks(BASS_WEBRTC_Stop(Server), 'Stop');
  Check(not BASS_WEBRTC_IsRunning(Server), 'IsRunning');
  CheckWorks(BASS_WEBRTC_Free(Server), 'Free');
  Check(not BASS_WEBRTC_Free(Server) and (BASS_WEBRTC_ErrorGetCode = BASS_WEBRTC_ERROR_HANDLE), 'Free again');
  Check(BASS_Free, 'BASS_Free');
  WriteLn('well done');
end.
