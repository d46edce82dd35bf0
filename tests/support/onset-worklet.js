// Posts the time at which each sound begins after silence.

const LOUD = 0.1;
const SILENCE_FRAMES = 2400;

class Onset extends AudioWorkletProcessor {
  constructor() {
    super();
    this.lastLoud = -SILENCE_FRAMES;
  }

  process([[samples]]) {
    for (let index = 0; samples && index < samples.length; index++) {
      if (Math.abs(samples[index]) < LOUD) continue;
      const frame = currentFrame + index;
      if (frame - this.lastLoud >= SILENCE_FRAMES) this.port.postMessage(frame / sampleRate);
      this.lastLoud = frame;
    }
    return true;
  }
}

registerProcessor("onset", Onset);
