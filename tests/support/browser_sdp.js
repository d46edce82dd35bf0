// Gives session descriptions and candidates to the browser's own WebRTC.
//
// try_all([{kind, text}, …]) resolves to one verdict each: {error} if the browser refuses, otherwise the answer it makes
// to an offer, the direction and codec that an answer leaves, or the number of candidates it takes. offer is a good one,
// for the candidates.

async function try_all(inputs, offer) {
  const certificates = [await RTCPeerConnection.generateCertificate({name: "ECDSA", namedCurve: "P-256"})];
  const track = new MediaStreamTrackGenerator({kind: "audio"});
  const tries = {offer: try_offer, answer: try_answer, candidate: try_candidate, fragment: try_fragment};

  function connection() {
    const made = new RTCPeerConnection({certificates});
    made.addTrack(track);
    return made;
  }

  async function try_offer(pc, text) {
    await pc.setRemoteDescription({type: "offer", sdp: text});
    const answer = await pc.createAnswer();
    await pc.setLocalDescription(answer);
    return {answer: answer.sdp};
  }

  async function try_answer(pc, text) {
    await pc.setLocalDescription(await pc.createOffer());
    await pc.setRemoteDescription({type: "answer", sdp: text});
    const {currentDirection, sender, receiver} = pc.getTransceivers()[0];
    const codecs = (currentDirection === "recvonly" ? receiver : sender).getParameters().codecs;
    const opus = codecs.find((one) => one.mimeType.toLowerCase() === "audio/opus")?.payloadType ?? "no";
    return {direction: `${currentDirection}, Opus ${opus}`};
  }

  async function try_candidate(pc, text) {
    await pc.setRemoteDescription({type: "offer", sdp: offer});
    await pc.addIceCandidate({candidate: text, sdpMid: "0"});
    return {candidates: 1};
  }

  // A fragment goes line by line, as pages and servers in JavaScript pass it on.
  async function try_fragment(pc, text) {
    await pc.setRemoteDescription({type: "offer", sdp: offer});
    const taken = new Set();
    for (const line of text.split("\n").filter((one) => one.startsWith("a=candidate:"))) {
      const candidate = line.slice(2).trim();
      await pc.addIceCandidate({candidate, sdpMid: "0"}).then(() => taken.add(candidate), () => 0);
    }
    return {candidates: taken.size};
  }

  async function try_one({kind, text}) {
    const pc = connection();
    try {
      return await tries[kind](pc, text);
    } catch (error) {
      return {error: error.message};
    } finally {
      pc.close();
    }
  }

  const verdicts = [];
  for (let start = 0; start < inputs.length; start += 8)
    verdicts.push(...await Promise.all(inputs.slice(start, start + 8).map(try_one)));
  track.stop();
  return verdicts;
}
