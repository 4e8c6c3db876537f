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

/**
 * What Linux calls the instructions with which oneDNN rounds: Intel's AMX, and on arm64 (where it was not tried) bf16. With avx512_bf16
 * alone, as AMD's processors have it, oneDNN 3.2.1 stays in float32.
 */
const MULTIPLY_BFLOAT16 = ['amx_bf16', 'bf16'];

/** Asks for `medium`. oneDNN, which multiplies for TensorFlow, reads it from the environment once, before its first product. */
export function roundProducts(): void {
  process.env['ONEDNN_DEFAULT_FPMATH_MODE'] = 'BF16';
}

/**
 * Whether `medium` rounds on this processor; null where the system does not tell.
 *
 * @param cpuInfo The file in which Linux lists what the processor can do.
 */
export function canRoundProducts(cpuInfo = '/proc/cpuinfo'): boolean | null {
  const info = existsSync(cpuInfo) ? readFileSync(cpuInfo, 'utf8') : '';
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1]?.split(' ');
  return flags ? MULTIPLY_BFLOAT16.some((flag) => flags.includes(flag)) : null;
}

/**
 * Says it where `medium` changes nothing.
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
  if (canRoundProducts(cpuInfo) === false)
    note(
      `${called} medium changes nothing: this processor has no AMX, with which TensorFlow rounds`,
    );
}
