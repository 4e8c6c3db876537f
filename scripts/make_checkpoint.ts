/**
 * Makes a checkpoint of random weights in the shape of SmolLM2-135M, to see what a model of that size costs where the
 * published one is not at hand:
 *
 *   npx tsx scripts/make_checkpoint.ts <folder>                        # bfloat16, 269 MB
 *   npx tsx scripts/make_checkpoint.ts <folder> --dtype F32 --seed 2
 *   npx tsx scripts/make_checkpoint.ts <folder> --layers 4             # fewer blocks
 */
import {parseArgs} from 'node:util';
import {randomCheckpointDefaults, smolLM2, writeRandomCheckpoint} from '../tools/random_checkpoint';
import {floatTypes} from '../src/files/float_type';

const {values, positionals} = parseArgs({
  options: {
    dtype: {type: 'string', default: randomCheckpointDefaults.dtype},
    seed: {type: 'string', default: String(randomCheckpointDefaults.seed)},
    layers: {type: 'string', default: String(smolLM2.num_hidden_layers)},
  },
  allowPositionals: true,
});
const [folder, ...others] = positionals;
const dtype = floatTypes.find((name) => name === values.dtype);
if (folder === undefined || others.length > 0 || dtype === undefined) {
  console.error(
    `usage: npx tsx scripts/make_checkpoint.ts <folder> [--dtype ${floatTypes.join('|')}] [--seed n] [--layers n]`,
  );
  process.exit(2);
}
const config = {...smolLM2, num_hidden_layers: Number(values.layers)};
const parameters = writeRandomCheckpoint(folder, config, {dtype, seed: Number(values.seed)});
console.log(`${folder}: ${(parameters / 1e6).toFixed(1)} million parameters, ${dtype}`);
