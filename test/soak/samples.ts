/** What a process holds at one place of its training. */
export interface Sample {
  step: number;
  tensors: number;
  /** Of all tensors. */
  bytes: number;
  /** Data of the backend, of a tensor or of none. */
  data: number;
  /** Resident memory of the process in bytes, after a garbage collection. */
  rss: number;
}

/** The most that resident memory may grow. */
const MAX_GROWTH = 0.05;

/** Resident memory is a mean over so many samples, as it goes up and down by pages that the system has not taken back yet. */
const AVERAGED = 5;

/** What is not the same in all samples, which were taken at equal places of a training's cycles: a sentence each. */
export function differences(samples: readonly Sample[]): string[] {
  if (samples.length < 2) throw new Error('differences: needs at least two samples');
  const [first, last] = [samples[0]!, samples.at(-1)!];
  return (['tensors', 'bytes', 'data'] as const).flatMap((kind) => {
    const other = samples.find((sample) => sample[kind] !== first[kind]);
    if (!other) return [];
    return [
      `${kind}: ${first[kind]} after step ${first.step}, ${other[kind]} after step ${other.step}, ${last[kind]} at the end`,
    ];
  });
}

/** Resident memory at the first and the last samples, in bytes. */
export function residentMemory(samples: readonly Sample[]): {before: number; after: number} {
  const mean = (part: readonly Sample[]): number =>
    part.reduce((sum, {rss}) => sum + rss, 0) / part.length;
  return {before: mean(samples.slice(0, AVERAGED)), after: mean(samples.slice(-AVERAGED))};
}

/**
 * Whether resident memory has grown by more than 5 %: a sentence if so.
 *
 * @param other Samples of a process that did the same in another way: then by more than 5 % above the growth of that one.
 */
export function residentGrowth(samples: readonly Sample[], other?: readonly Sample[]): string[] {
  const {before, after} = residentMemory(samples);
  const control = other ? residentMemory(other) : {before: 1, after: 1};
  // that one may have shrunk
  if (after / before <= Math.max(1, control.after / control.before) + MAX_GROWTH) return [];
  const [was, is] = [before, after].map((bytes) => (bytes / 1e6).toFixed(1));
  return [`resident memory: ${was} MB at first, ${is} MB at the end`];
}
