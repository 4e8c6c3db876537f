/** LLaMA 3's stretched wavelengths, of which a GGUF file has the result: by how much each frequency is divided. */
import type {RopeScaling} from '../../architectures/model_options';
import type {ResolvedConfig} from '../../config';

/** What LLaMA 3.1 to 3.3 have; the factor is the file's. */
const USUAL = {lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192};

/** How far the divisors may be from those in the file, which are float32. */
const TOLERANCE = 1e-5;

/**
 * The scaling that divides frequencies so; null if no scaling of LLaMA 3's kind does.
 *
 * @param divisors Of each frequency, the highest first.
 * @param theta The base of the wavelengths.
 */
export function ropeScalingOf(divisors: ArrayLike<number>, theta: number): RopeScaling | null {
  const all = Array.from(divisors);
  const wavelengths = wavelengthsOf(all.length, theta);
  const factor = all.at(-1) ?? 1;
  const candidates = [{factor, ...USUAL}, ...between(all, wavelengths, factor)];
  return (
    candidates.find(
      (scaling) =>
        scaling.factor >= 1 &&
        scaling.originalMaxPositionEmbeddings >= 1 &&
        all.every((divisor, i) => {
          const expected = divisorOf(wavelengths[i]!, scaling);
          return Math.abs(divisor - expected) <= TOLERANCE * expected;
        }),
    ) ?? null
  );
}

/** By how much such a scaling divides each frequency of a head, the highest first: what a file has. */
export function divisorsOf(
  scaling: RopeScaling,
  {ropeTheta, headDim}: Pick<ResolvedConfig, 'ropeTheta' | 'headDim'>,
): Float32Array {
  return Float32Array.from(wavelengthsOf(headDim / 2, ropeTheta), (wavelength) =>
    divisorOf(wavelength, scaling),
  );
}

function wavelengthsOf(count: number, theta: number): number[] {
  return Array.from({length: count}, (_, i) => 2 * Math.PI * theta ** (i / count));
}

/** By how much the frequency of a wavelength is divided. */
function divisorOf(wavelength: number, scaling: RopeScaling): number {
  const {factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: length} = scaling;
  if (wavelength < length / highFreqFactor) return 1;
  if (wavelength > length / lowFreqFactor) return factor;
  const smooth = (length / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return 1 / ((1 - smooth) / factor + smooth);
}

/**
 * The scaling by two of the divisors between 1 and the factor, whose inverses are on a line over the inverse wavelength. Only
 * ratios of its numbers matter, so that the low factor can be 1.
 */
function between(
  divisors: readonly number[],
  wavelengths: readonly number[],
  factor: number,
): RopeScaling[] {
  const points = divisors.flatMap((divisor, i) => {
    if (divisor <= 1 || divisor >= factor) return [];
    return [{x: 1 / wavelengths[i]!, smooth: (1 / divisor - 1 / factor) / (1 - 1 / factor)}];
  });
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last || first === last) return [];
  const slope = (first.smooth - last.smooth) / (first.x - last.x);
  const offset = slope * first.x - first.smooth;
  const highFreqFactor = Math.round((1 + 1 / offset) * 1e4) / 1e4;
  const originalMaxPositionEmbeddings = Math.round(slope / offset);
  return [{factor, lowFreqFactor: 1, highFreqFactor, originalMaxPositionEmbeddings}];
}
