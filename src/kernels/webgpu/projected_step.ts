import type * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {OwLoreAdam, type OwLoreUpdate, type OwLoreUpdateInputs, type Side} from '../kernel_names';
import {componentsFor, dispatch, float, int, optional, type Uniform} from './program';
import {
  chooseTile,
  readAcross,
  readAlong,
  tiledProduct,
  tileGrid,
  writeAlong,
  type Tile,
} from './tiled_product';

interface ProjectedInputs extends Omit<OwLoreUpdateInputs, 'gradient' | 'basis'> {
  basis: tf.TensorInfo;
  allFinite?: tf.TensorInfo | undefined;
}

/** WGSL: N of one or four moments. A second moment of 0 with epsilon 0 gives NaN or infinity, as in the composed step. */
export const adamStepCode = `
  fn adamStep(first : Value, second : Value) -> Value {
    return uniforms.rate * first / (sqrt(second) + uniforms.epsilon);
  }`;

export function stepUniforms({rate, epsilon, decay}: OwLoreUpdate): Uniform[] {
  return [float('rate', rate), float('epsilon', epsilon), float('decay', decay)];
}

interface Variant {
  side: Side;
  isConditional: boolean;
  /** Numbers in an element of the moments. */
  momentComponents: 1 | 4;
  /** Numbers in an element of the variable. */
  components: 1 | 4;
  tile: Tile;
}

/** WGSL: the product of the basis with N, where N is computed from the moments while they are read. */
const code = ({side, isConditional, momentComponents, components, tile}: Variant): string => {
  const type = (count: 1 | 4): string => (count === 4 ? 'vec4<f32>' : 'f32');
  const rank = 'uniforms.rank';
  const rows = 'uniforms.rows';
  const columns = 'uniforms.columns';
  const operands =
    side === 'left'
      ? readAcross('readA', {lines: rows, length: rank}, 'basisAt') +
        readAlong('readB', {lines: rank, length: columns}, 'changeAt', momentComponents) +
        tiledProduct(tile, {a: 'inner', b: 'columns'})
      : readAcross('readA', {lines: rows, length: rank}, 'changeAt') +
        readAcross('readTransposedB', {lines: columns, length: rank}, 'basisAt') +
        `fn readB(k : i32, column : i32) -> vec4<f32> { return readTransposedB(column, k); }` +
        tiledProduct(tile, {a: 'inner', b: 'inner'});
  return `
    alias Value = ${type(momentComponents)};
    ${adamStepCode}
    fn changeAt(index : i32) -> Value { return adamStep(first[index], second[index]); }
    fn basisAt(index : i32) -> f32 { return basis[index]; }
    fn innerLength() -> i32 { return ${rank}; }
    fn finish(index : i32, sum : ${type(components)}) -> ${type(components)} {
      ${isConditional ? 'if (allFinite[0] == 0) { return variable[index]; }' : ''}
      return uniforms.decay * variable[index] - sum;
    }
    ${writeAlong({lines: rows, length: columns}, components)}
    ${operands}`;
};

/** A matrix after a step with these moments, which are in the subspace of the basis. One dispatch. */
export function projectedStep(
  backend: WebGPUBackend,
  {variable, basis, first, second, allFinite}: ProjectedInputs,
  update: OwLoreUpdate,
): tf.TensorInfo {
  const [rows, columns] = variable.shape as [number, number];
  const side = update.side!;
  const rank = basis.shape[1]!;
  const components = componentsFor(columns);
  const momentComponents = side === 'left' ? components : 1;
  const tile = chooseTile(rows, columns);
  return dispatch(backend, {
    name: `${OwLoreAdam} projected step`,
    variant: {side, isConditional: allFinite !== undefined, momentComponents, components, tile},
    code,
    inputs: [
      {name: 'variable', tensor: variable, components},
      {name: 'basis', tensor: basis, components: 1},
      {name: 'first', tensor: first, components: momentComponents},
      {name: 'second', tensor: second, components: momentComponents},
      ...optional(['allFinite', allFinite]),
    ],
    uniforms: [
      ...stepUniforms(update),
      int('rows', rows),
      int('columns', columns),
      int('rank', rank),
    ],
    output: {shape: [rows, columns], dtype: 'float32', components},
    ...tileGrid(tile, rows, columns),
  });
}
