import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {checkRoundedProducts} from '../../src/cli/matmul_precision';
import type {BackendName} from '../../src/cli/register_backend';
import {UsageError} from '../../src/cli/usage_error';
import {backends} from '../support/backends';
import {resultOf, startProgram} from '../support/programs';
import {texts, createModelFolder} from './model_folder';
import {runCli} from './run_cli';

/** Intel's processors from 2023 on, on Linux. */
const hasAmx = (): boolean => {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8').includes(' amx_bf16 ');
  } catch {
    return false;
  }
};

describe('--matmul-precision medium', () => {
  it('is refused on backends that do not have it', async () => {
    const folder = await createModelFolder();
    const data = folder.writeLines('texts.jsonl', texts(2));
    const args = ['--model', folder.model, '--data', data, '--backend', 'cpu'];
    const {code, stderr} = await runCli(['evaluate', ...args, '--matmul-precision', 'medium']);
    expect({code, stderr}).to.deep.equal({
      code: 2,
      stderr:
        "error: evaluate: --matmul-precision medium is possible on the backend 'tensorflow' only; got 'cpu'\n",
    });
    folder.remove();
  });

  it('says where the processor makes no difference', () => {
    const folder = mkdtempSync(join(tmpdir(), 'owlore-'));
    const notesOn = (flags: string, backend: BackendName = 'tensorflow'): string[] => {
      const file = join(folder, 'cpuinfo');
      writeFileSync(file, flags);
      const notes: string[] = [];
      checkRoundedProducts('--precision', backend, (line) => notes.push(line), file);
      return notes;
    };
    const note =
      '--precision medium changes nothing: this processor has no AMX, with which TensorFlow rounds';
    expect(notesOn('processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16\n')).to.deep.equal([]);
    expect(notesOn('flags\t\t: fpu amx_tile amx_bf16 amx_int8')).to.deep.equal([]);
    expect(notesOn('flags\t\t: fpu avx512f avx512_bf16\n')).to.deep.equal([note]);
    expect(notesOn('Features\t: fp asimd i8mm bf16')).to.deep.equal([]);
    expect(notesOn('flags\t\t: fpu avx512f')).to.deep.equal([note]);
    expect(notesOn('nothing of it')).to.deep.equal([]);
    expect(() => notesOn('', 'wasm')).to.throw(UsageError, "only; got 'wasm'");
    rmSync(folder, {recursive: true});
  });

  it('rounds what is multiplied to bfloat16 and adds up in float32, with AMX; without it nothing', async function () {
    if (!backends.includes('tensorflow')) this.skip();
    const {stdout, stderr, code} = await resultOf(startProgram('test/kernels/rounded_product', []));
    expect(code, stderr).to.equal(0);
    const [a, b, product] = JSON.parse(stdout) as [number[][], number[][], number[][]];
    const error = (round: (x: number) => number): number => {
      let largest = 0;
      product.forEach((row, i) =>
        row.forEach((value, j) => {
          const exact = a[i]!.reduce((sum, x, k) => sum + round(x) * round(b[k]![j]!), 0);
          largest = Math.max(largest, Math.abs(value - exact));
        }),
      );
      return largest;
    };
    // 96 terms of size 1 in float32; rounding to bfloat16 changes a product of two by up to 2^-7
    const [rounded, exact] = [nearestBfloat16, (x: number) => x].map(error);
    const [small, large] = hasAmx() ? [rounded, exact] : [exact, rounded];
    expect(small).to.be.lessThan(1e-4);
    expect(large).to.be.greaterThan(1e-2);
  });
});

/** To the nearest of 8 bits, and of two as near to the even one. */
function nearestBfloat16(x: number): number {
  if (x === 0) return 0;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
  const [below, half] = [Math.floor(x / unit), x / unit - Math.floor(x / unit)];
  return unit * (half > 0.5 || (half === 0.5 && below % 2 !== 0) ? below + 1 : below);
}
