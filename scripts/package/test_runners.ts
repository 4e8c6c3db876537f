/** Trains by the packed library in the tests of other people: by Jest, Vitest and Node's own runner. */
import {spawnSync} from 'node:child_process';
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

/** The configurations of Jest that docs/limits.md has. */
interface Runners {
  babel: string;
  tsJest: string;
  /** Whether Vitest and Node's own come after Jest. */
  withOthers: boolean;
}

/**
 * Runs one test by each runner, of those that are installed in `project`; throws if one fails, or says that kernels are missing. Without a
 * configuration Jest must still refuse the package, or the page is out of date.
 */
export function checkTestRunners(
  project: string,
  entries: readonly string[],
  {babel, tsJest, withOthers}: Runners,
): void {
  const test = testOf(entries);
  const babelConfig = `module.exports = {presets: [['@babel/preset-env', {targets: {node: 'current'}}]]};`;
  const tsConfig = JSON.stringify({
    compilerOptions: {
      target: 'es2022',
      module: 'commonjs',
      moduleResolution: 'node10',
      esModuleInterop: true,
      strict: true,
      skipLibCheck: true,
      allowJs: true,
      types: ['jest'],
    },
  });
  const inFolder = (
    title: string,
    files: Readonly<Record<string, string>>,
    command: readonly string[],
    variables: Readonly<Record<string, string>> = {},
  ): string => {
    const cwd = join(project, title.replaceAll(' ', '-'));
    mkdirSync(cwd);
    for (const [name, content] of Object.entries({'package.json': '{}', ...files})) {
      writeFileSync(join(cwd, name), content);
    }
    const [program, ...args] = command;
    const env = {...process.env, ...variables};
    const {status, stdout, stderr} = spawnSync(program!, args, {cwd, env, encoding: 'utf8'});
    const said = `${stdout}${stderr}`;
    const isGood = status === 0 && !said.includes('could be installed');
    console.log(`${title}: ${isGood ? 'passes' : 'fails'}`);
    return isGood ? '' : said;
  };
  const must = (...args: Parameters<typeof inFolder>): void => {
    const said = inFolder(...args);
    if (said !== '') throw new Error(`${args[0]}:\n${said}`);
  };
  const jest = ['npx', 'jest', '--ci', '--testTimeout=60000'];

  const bare = inFolder(
    'Jest as it is',
    {'package.json': '{"jest": {}}', 'train.test.js': test, 'babel.config.js': babelConfig},
    jest,
  );
  const takesModules = Number(process.versions.node.split('.')[0]) >= 24;
  if (bare === '' && !takesModules) throw new Error('Jest takes the package without the page');
  must(
    'Jest with Babel',
    {'train.test.js': test, 'babel.config.js': babelConfig, 'jest.config.js': babel},
    jest,
  );
  must(
    'Jest with ts-jest',
    {'train.test.ts': test, 'tsconfig.json': tsConfig, 'jest.config.js': tsJest},
    jest,
  );
  must(
    'Jest without a transform',
    {'train.test.mjs': test, 'jest.config.js': "module.exports = {testMatch: ['**/*.test.mjs']};"},
    jest,
    {NODE_OPTIONS: '--experimental-vm-modules'},
  );
  if (!withOthers) return;
  const vitest = `import {expect, test} from 'vitest';\n${test}`;
  must('Vitest', {'train.test.js': vitest}, ['npx', 'vitest', 'run', '--testTimeout=60000']);
  const node = `import test from 'node:test';\nimport {expect} from 'expect';\n${test}`;
  must('node test', {'train.test.mjs': node}, ['node', '--test']);
}

/** A model that trains on wasm, by the kernels of this library, and all entry points. */
function testOf(entries: readonly string[]): string {
  const imports = entries.map((entry, i) => `import * as entry${i} from '${entry}';`);
  return `
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import '@tensorflow/tfjs-backend-wasm';
import {LayerSamplingCallback, OwLoreOptimizer} from 'tfjs-owlore';
${imports.join('\n')}

test('a model learns', async () => {
  for (const entry of [${entries.map((_, i) => `entry${i}`).join(', ')}]) {
    expect(Object.keys(entry).length).toBeGreaterThan(0);
  }
  await tf.setBackend('wasm');
  const model = tfl.sequential();
  for (const inputShape of [[2], [8], [8]]) {
    model.add(tfl.layers.dense({units: 8, activation: 'tanh', inputShape}));
  }
  model.add(tfl.layers.dense({units: 1}));
  const optimizer = new OwLoreOptimizer({learningRate: 0.02, rank: 4});
  expect(optimizer).toBeInstanceOf(tf.Optimizer);
  model.compile({optimizer, loss: 'meanSquaredError'});
  const x = tf.randomNormal([64, 2], 0, 1, 'float32', 1);
  const callbacks = [new LayerSamplingCallback({gamma: 2, interval: 5})];
  const {history} = await model.fit(x, tf.sum(x, 1, true), {epochs: 8, verbose: 0, callbacks});
  expect(Number(history.loss?.at(-1))).toBeLessThan(Number(history.loss?.[0]));
});
`;
}
