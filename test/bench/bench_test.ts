import {spawnSync} from 'node:child_process';
import {readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {itAtLength} from '../support/backends';

const program = fileURLToPath(new URL('../../bench/bench.ts', import.meta.url));
const commands = readdirSync(new URL('../../bench/commands', import.meta.url)).map((file) =>
  file.replace('.ts', ''),
);

function bench(...args: string[]): {status: number | null; stdout: string; stderr: string} {
  return spawnSync(process.execPath, ['--import', 'tsx', program, ...args], {encoding: 'utf8'});
}

describe('bench/bench', () => {
  it('lists the benchmarks, a sentence each', () => {
    const {stdout} = bench();
    const [usage, , ...lines] = stdout.trimEnd().split('\n');
    expect(usage).to.include('npm run bench -- NAME');
    expect(lines.map((line) => line.split(' ')[0])).to.have.members(commands);
    for (const line of lines) expect(line).to.match(/^[a-z_]+ {2,}[A-Z].{20,120}\.$/);
  });

  it('says how to run one', () => {
    const {stdout} = bench('performance', '--help');
    expect(stdout).to.include('\n  npm run bench -- performance --only wasm,tensorflow ');
    expect(stdout).to.not.match(/^ ?\*|\/\*/m);
  });

  itAtLength('runs one with its options', () => {
    const {status, stderr} = bench('performance', '--only', 'no-group');
    expect(status).to.equal(2);
    expect(stderr).to.match(/^no group no-group; there are wasm, /);
  });

  it('says which there are instead of an unknown one', () => {
    const {status, stderr} = bench('memroy');
    expect(status).to.equal(2);
    expect(stderr).to.match(/^there is no benchmark memroy; there are checkpoints, compare, /);
  });
}).timeout(30_000);
