// Sends its input to the page in blocks of 100 ms, interleaved stereo.

const BLOCK_FRAMES = 4800;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(2 * BLOCK_FRAMES);
    this.frames = 0;
  }

  process([channels]) {
    const [left, right] = [channels[0], channels[1] || channels[0]];
    const count = left ? left.length : 128;
    for (let frame = 0; frame < count; frame++) {
      this.block[2 * this.frames] = left ? left[frame] : 0;
      this.block[2 * this.frames + 1] = right ? right[frame] : 0;
      if (++this.frames === BLOCK_FRAMES) {
        this.port.postMessage(this.block);
        this.block = new Float32Array(2 * BLOCK_FRAMES);
        this.frames = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
