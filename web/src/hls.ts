import Hls from "hls.js/light";

/** Plays an HLS playlist in a video element; returns what ends it. */
export function playHls(video: HTMLVideoElement, url: string, onFailure: (why: string) => void): () => void {
  // A worker would have to be made from text, which the page's policy forbids; a stored film needs none.
  const hls = new Hls({ enableWorker: false });
  hls.on(Hls.Events.ERROR, (_, { fatal, details }) => {
    if (fatal) onFailure(details);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return () => hls.destroy();
}
