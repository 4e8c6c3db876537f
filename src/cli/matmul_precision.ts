/**
 * How exactly TensorFlow multiplies float32 matrices on a processor, by the names of PyTorch's `set_float32_matmul_precision`:
 * `highest` is float32; `medium` rounds what is multiplied to bfloat16 and adds up in float32, which processors with instructions
 * for it (Intel's AMX) do several times as fast.
 */
import {existsSync, readFileSync} from 'node:fs';
import type {BackendName} from './register_backend';
import {UsageError} from './usage_error';

export const matmulPrecisions = ['highest', 'medium'] as const;

export type MatmulPrecision = (typeof matmulPrecisions)[number];

/** What Linux calls the instructions that multiply bfloat16, on x64 and arm64. */
const MULTIPLY_BFLOAT16 = ['amx_bf16', 'avx512_bf16', 'bf16'];

/** Asks for `medium`. oneDNN, which multiplies for TensorFlow, reads it from the environment once, before its first product. */
export function roundProducts(): void {
  process.env['ONEDNN_DEFAULT_FPMATH_MODE'] = 'BF16';
}

/**
 * Whether the processor multiplies bfloat16; null where the system does not tell.
 *
 * @param cpuInfo The file in which Linux lists what the processor can do.
 */
export function multipliesBfloat16(cpuInfo = '/proc/cpuinfo'): boolean | null {
  const info = existsSync(cpuInfo) ? readFileSync(cpuInfo, 'utf8') : '';
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1]?.split(' ');
  return flags ? MULTIPLY_BFLOAT16.some((flag) => flags.includes(flag)) : null;
}

/**
 * Says it where `medium` makes nothing faster.
 *
 * @param called What the message calls the option.
 * @throws UsageError on another backend than tensorflow.
 */
export function checkRoundedProducts(
  called: string,
  backend: BackendName,
  note: (line: string) => void,
  cpuInfo?: string,
): void {
  if (backend !== 'tensorflow') {
    throw new UsageError(
      `${called} medium is possible on the backend 'tensorflow' only; got '${backend}'`,
    );
  }
  if (multipliesBfloat16(cpuInfo) === false)
    note(`${called} medium makes nothing faster: this processor does not multiply bfloat16`);
}
