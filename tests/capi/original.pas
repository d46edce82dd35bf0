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
  // What the callbacks received. The event thread writes, the main thread reads.
  ReceivedAnswer, ReceivedCandidate: array[0..BASS_WEBRTC_ANSWER_CAPACITY - 1] of AnsiChar;
  HasCandidate: LongBool = False;
  ReceivedState: Cardinal = PEER_STATE_NEW;

procedure Check(Condition: LongBool; What: string);
begin
  if Condition then
    Exit;
  WriteLn(StdErr, 'check failed: ', What, ' (error ', BASS_WEBRTC_ErrorGetCode, ': ', BASS_WEBRTC_ErrorGetMessage, ')');
  Halt(1);
end;

procedure CheckWorks(Result: LongBool; What: string);
begin
  Check(Result and (BASS_WEBRTC_ErrorGetCode = BASS_WEBRTC_OK) and (BASS_WEBRTC_ErrorGetMessage = ''), What);
end;

procedure SaveSdp(peer_id: Cardinal; sdp_type, sdp: PAnsiChar; user: Pointer); cdecl;
begin
  Check((peer_id = 0) and (sdp_type = 'answer') and (user = @ReceivedAnswer), 'on_sdp');
  StrLCopy(ReceivedAnswer, sdp, SizeOf(ReceivedAnswer) - 1);
end;

procedure SaveCandidate(peer_id: Cardinal; candidate, sdp_mid: PAnsiChar; sdp_mline_index: Cardinal;
  user: Pointer); cdecl;
begin
  Check((peer_id = 0) and (sdp_mid <> nil) and (sdp_mline_index = 0) and (user = @ReceivedAnswer), 'on_ice_candidate');
  if candidate^ = #0 then // no more candidates
    Exit;
  StrLCopy(ReceivedCandidate, candidate, SizeOf(ReceivedCandidate) - 1);
  HasCandidate := True;
end;

procedure SaveState(peer_id, state: Cardinal; user: Pointer); cdecl;
begin
  Check((peer_id = 0) and (user = @ReceivedAnswer), 'on_peer_state');
  ReceivedState := state;
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

procedure CheckErrorMessage(Server: Pointer);
begin
  Check(not BASS_WEBRTC_AddIceServer(Server, 'st'#$C3#$BC'n:', nil, nil), 'AddIceServer refuses an invalid URL');
  Check(BASS_WEBRTC_ErrorGetCode = BASS_WEBRTC_ERROR_ILLPARAM, 'error code of AddIceServer');
  Check(Pos(AnsiString('st'#$C3#$BC'n:'), AnsiString(BASS_WEBRTC_ErrorGetMessage)) > 0, 'the message has the URL in UTF-8');
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
  Callbacks.on_sdp := SaveSdp;
  Callbacks.on_ice_candidate := SaveCandidate;
  Callbacks.on_peer_state := SaveState;
  Callbacks.user_data := @ReceivedAnswer;
  Check(BASS_WEBRTC_GetVersion = BASS_WEBRTC_VERSION, 'GetVersion');
  Check(BASS_Init(0, 48000, 0, nil, nil), 'BASS_Init');
  Song := BASS_StreamCreate(48000, 2, BASS_STREAM_DECODE or BASS_SAMPLE_FLOAT, nil, nil);

  Server := BASS_WEBRTC_Create(Song, @Config);
  CheckWorks(Server <> nil, 'Create');
  CheckErrorMessage(Server);
  CheckWorks(BASS_WEBRTC_AddIceServer(Server, PAnsiChar(ParamStr(4)), nil, nil), 'AddIceServer');
  CheckWorks(BASS_WEBRTC_SetCallbacks(Server, @Callbacks), 'SetCallbacks');
  CheckWorks(BASS_WEBRTC_Start(Server), 'Start');
  CheckWorks(BASS_WEBRTC_AddPeer(Server, PAnsiChar(ReadText(ParamStr(1))), Answer, @Length) = 0, 'AddPeer');
  Check(Length = StrLen(Answer), 'length of the answer');
  WriteText(ParamStr(2), Answer);
  WriteLn('answered');
  Flush(Output);
  CheckWorks(BASS_WEBRTC_AddIceCandidate(Server, 0, PAnsiChar(ParamStr(3))), 'AddIceCandidate');
  while not HasCandidate do
    Sleep(10);
  WriteLn(ReceivedCandidate);
  Flush(Output);
  while ReceivedState <> PEER_STATE_CONNECTED do
    Sleep(10);
  Check(StrComp(ReceivedAnswer, Answer) = 0, 'on_sdp received the answer');
  CheckWorks(BASS_WEBRTC_GetInputStream(Server) <> 0, 'GetInputStream');
  repeat
    Sleep(10);
    CheckWorks(BASS_WEBRTC_GetStats(Server, Stats), 'GetStats');
  until Stats.total_packets_sent > 0;
  Check(Stats.active_peers = 1, 'active_peers is 1');
  CheckWorks(BASS_WEBRTC_GetPeerStats(Server, 0, PeerStats), 'GetPeerStats');
  Check((Pos(':', PeerStats.local_address) > 0) and (Pos(':', PeerStats.remote_address) > 0), 'addresses of the peer');
  CheckWorks(BASS_WEBRTC_RemovePeer(Server, 0), 'RemovePeer');
  while ReceivedState <> PEER_STATE_CLOSED do
    Sleep(10);
  CheckWorks(BASS_WEBRTC_Stop(Server), 'Stop');
  Check(not BASS_WEBRTC_IsRunning(Server), 'IsRunning');
  CheckWorks(BASS_WEBRTC_Free(Server), 'Free');
  Check(not BASS_WEBRTC_Free(Server) and (BASS_WEBRTC_ErrorGetCode = BASS_WEBRTC_ERROR_HANDLE), 'Free twice');
  Check(BASS_Free, 'BASS_Free');
  WriteLn('passed');
end.
