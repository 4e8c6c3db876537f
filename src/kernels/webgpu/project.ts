import * as tf from '@tensorflow/tfjs-core';
import {
  OwLoreProject,
  type OwLoreProjectAttrs,
  type OwLoreProjectInputs,
  type Side,
} from '../kernel_names';
import {componentsFor, dispatch, int, type KernelArgs} from './program';
import {
  chooseTile,
  readAcross,
  readAlong,
  tiledProduct,
  tileGrid,
  writeAlong,
  type Tile,
} from './tiled_product';

interface Variant {
  side: Side;
  /** Numbers in an element of the gradient, and of the basis. */
  gradientComponents: 1 | 4;
  basisComponents: 1 | 4;
  components: 1 | 4;
  tile: Tile;
}

const code = ({side, gradientComponents, basisComponents, components, tile}: Variant): string => {
  const type = (count: 1 | 4): string => (count === 4 ? 'vec4<f32>' : 'f32');
  const [rank, rows, columns] = ['uniforms.rank', 'uniforms.rows', 'uniforms.columns'];
  const gradient = {lines: rows, length: columns};
  const operands =
    side === 'left'
      ? readAlong('readBasis', {lines: rows, length: rank}, 'basisAt', basisComponents) +
        `fn readA(row : i32, k : i32) -> vec4<f32> { return readBasis(k, row); }` +
        readAlong('readB', gradient, 'gradientAt', gradientComponents) +
        tiledProduct(tile, {a: 'rows', b: 'columns'})
      : readAcross('readA', gradient, 'gradientAt') +
        readAlong('readB', {lines: columns, length: rank}, 'basisAt', basisComponents) +
        tiledProduct(tile, {a: 'inner', b: 'columns'});
  return `
    fn gradientAt(index : i32) -> ${type(gradientComponents)} { return gradient[index]; }
    fn basisAt(index : i32) -> ${type(basisComponents)} { return basis[index]; }
    fn innerLength() -> i32 { return ${side === 'left' ? rows : columns}; }
    fn finish(index : i32, sum : ${type(components)}) -> ${type(components)} { return sum; }
    ${writeAlong(side === 'left' ? {lines: rank, length: columns} : {lines: rows, length: rank}, components)}
    ${operands}`;
};

/** One dispatch, however long the sums are: tfjs's own product takes two for sums of 2000 numbers or more. */
export function project({
  inputs: {gradient, basis},
  backend,
  attrs: {side},
}: KernelArgs<OwLoreProjectInputs, OwLoreProjectAttrs>): tf.TensorInfo {
  const [rows, columns] = gradient.shape as [number, number];
  const rank = basis.shape[1]!;
  const shape: [number, number] = side === 'left' ? [rank, columns] : [rows, rank];
  if (rows * columns === 0) {
    // A buffer of no size cannot be bound.
    const zeros = new Float32Array(tf.util.sizeFromShape(shape));
    return backend.makeTensorInfo(shape, 'float32', zeros);
  }
  const components = componentsFor(shape[1]);
  const basisComponents = componentsFor(rank);
  const gradientComponents = side === 'left' ? components : 1;
  const tile = chooseTile(...shape);
  return dispatch(backend, {
    name: OwLoreProject,
    variant: {side, gradientComponents, basisComponents, components, tile},
    code,
    inputs: [
      {name: 'gradient', tensor: gradient, components: gradientComponents},
      {name: 'basis', tensor: basis, components: basisComponents},
    ],
    uniforms: [int('rows', rows), int('columns', columns), int('rank', rank)],
    output: {shape, dtype: 'float32', components},
    ...tileGrid(tile, ...shape),
  });
}
