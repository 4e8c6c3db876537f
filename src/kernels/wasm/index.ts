export {installKernels, uninstallKernels} from './install';
export type {InstallKernelsOptions} from './install';
