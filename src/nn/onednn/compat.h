/* onednn/compat.h - oneDNN's C API as the rest of this folder sees it; the differences between 2.x and 3.x end here.
 *
 * 2.x: memory descriptors are structs, a primitive has an operation descriptor and then a primitive descriptor.
 * 3.x: memory descriptors are opaque, and one call makes the primitive descriptor.
 * Tested with 2.6.3, 3.2.0 and 3.7.2.
 */
#ifndef WMK_ONEDNN_COMPAT_H
#define WMK_ONEDNN_COMPAT_H

#include <stdlib.h>
#include <oneapi/dnnl/dnnl.h>

typedef dnnl_primitive_desc_t wmk_pd;

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t wmk_md; /* borrowed */
typedef dnnl_memory_desc_t wmk_md_owned;

static inline dnnl_status_t wmk_md_create(wmk_md_owned *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(md, rank, dims, type, tag);
}
static inline dnnl_status_t wmk_md_create_strided(wmk_md_owned *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                                  const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(md, rank, dims, type, strides);
}
static inline void wmk_md_destroy(wmk_md_owned md) { (void)dnnl_memory_desc_destroy(md); }
static inline dnnl_data_type_t wmk_md_type(wmk_md md)
{
    dnnl_data_type_t type = dnnl_data_type_undef;
    (void)dnnl_memory_desc_query(md, dnnl_query_data_type, &type);
    return type;
}

static inline dnnl_status_t wmk_pd_conv_forward(wmk_pd *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t alg, wmk_md src,
                                                wmk_md weights, wmk_md bias, wmk_md dst, const dnnl_dims_t strides, const dnnl_dims_t dilates,
                                                const dnnl_dims_t low, const dnnl_dims_t high, dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_forward_primitive_desc_create(pd, engine, kind, alg, src, weights, bias, dst, strides, dilates, low, high, attr);
}
static inline dnnl_status_t wmk_pd_conv_backward_data(wmk_pd *pd, dnnl_engine_t engine, dnnl_alg_kind_t alg, wmk_md diff_src, wmk_md weights,
                                                      wmk_md diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t low,
                                                      const dnnl_dims_t high, dnnl_primitive_attr_t attr, wmk_pd hint)
{
    return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, alg, diff_src, weights, diff_dst, strides, dilates, low, high, hint,
                                                                attr);
}
static inline dnnl_status_t wmk_pd_conv_backward_weights(wmk_pd *pd, dnnl_engine_t engine, dnnl_alg_kind_t alg, wmk_md src, wmk_md diff_weights,
                                                         wmk_md diff_bias, wmk_md diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates,
                                                         const dnnl_dims_t low, const dnnl_dims_t high, dnnl_primitive_attr_t attr, wmk_pd hint)
{
    return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, alg, src, diff_weights, diff_bias, diff_dst, strides, dilates, low,
                                                                   high, hint, attr);
}
static inline dnnl_status_t wmk_pd_norm_forward(wmk_pd *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, wmk_md data, float epsilon, unsigned flags,
                                                dnnl_primitive_attr_t attr)
{
    return dnnl_batch_normalization_forward_primitive_desc_create(pd, engine, kind, data, data, epsilon, flags, attr);
}
static inline dnnl_status_t wmk_pd_norm_backward(wmk_pd *pd, dnnl_engine_t engine, wmk_md diff, wmk_md data, float epsilon, unsigned flags,
                                                 dnnl_primitive_attr_t attr, wmk_pd hint)
{
    return dnnl_batch_normalization_backward_primitive_desc_create(pd, engine, dnnl_backward, diff, diff, data, epsilon, flags, hint, attr);
}
static inline dnnl_status_t wmk_pd_pool_forward(wmk_pd *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t alg, wmk_md src, wmk_md dst,
                                                const dnnl_dims_t strides, const dnnl_dims_t kernel, const dnnl_dims_t dilates, const dnnl_dims_t low,
                                                const dnnl_dims_t high, dnnl_primitive_attr_t attr)
{
    return dnnl_pooling_forward_primitive_desc_create(pd, engine, kind, alg, src, dst, strides, kernel, dilates, low, high, attr);
}
static inline dnnl_status_t wmk_pd_pool_backward(wmk_pd *pd, dnnl_engine_t engine, dnnl_alg_kind_t alg, wmk_md diff_src, wmk_md diff_dst,
                                                 const dnnl_dims_t strides, const dnnl_dims_t kernel, const dnnl_dims_t dilates,
                                                 const dnnl_dims_t low, const dnnl_dims_t high, dnnl_primitive_attr_t attr, wmk_pd hint)
{
    return dnnl_pooling_backward_primitive_desc_create(pd, engine, alg, diff_src, diff_dst, strides, kernel, dilates, low, high, hint, attr);
}
static inline dnnl_status_t wmk_pd_matmul(wmk_pd *pd, dnnl_engine_t engine, wmk_md src, wmk_md weights, wmk_md bias, wmk_md dst,
                                          dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, src, weights, bias, dst, attr);
}
static inline dnnl_status_t wmk_post_ops_sum(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1.0F, 0, dnnl_data_type_undef); }
#define WMK_NORM_BACKWARD_TAKES_SHIFT false /* as an argument of the execution, though no gradient depends on it */

#else /* 2.x */

typedef const dnnl_memory_desc_t *wmk_md;
typedef dnnl_memory_desc_t *wmk_md_owned;

static inline dnnl_status_t wmk_md_create(wmk_md_owned *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    wmk_md_owned made = calloc(1, sizeof *made);
    if (!made) return dnnl_out_of_memory;
    const dnnl_status_t status = dnnl_memory_desc_init_by_tag(made, rank, dims, type, tag);
    if (status == dnnl_success)
        *md = made;
    else
        free(made);
    return status;
}
static inline dnnl_status_t wmk_md_create_strided(wmk_md_owned *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                                  const dnnl_dims_t strides)
{
    wmk_md_owned made = calloc(1, sizeof *made);
    if (!made) return dnnl_out_of_memory;
    const dnnl_status_t status = dnnl_memory_desc_init_by_strides(made, rank, dims, type, strides);
    if (status == dnnl_success)
        *md = made;
    else
        free(made);
    return status;
}
static inline void wmk_md_destroy(wmk_md_owned md) { free(md); }
static inline dnnl_data_type_t wmk_md_type(wmk_md md) { return md->data_type; }

static inline dnnl_status_t wmk_pd_conv_forward(wmk_pd *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t alg, wmk_md src,
                                                wmk_md weights, wmk_md bias, wmk_md dst, const dnnl_dims_t strides, const dnnl_dims_t dilates,
                                                const dnnl_dims_t low, const dnnl_dims_t high, dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t desc;
    const dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(&desc, kind, alg, src, weights, bias, dst, strides, dilates, low, high);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}
static inline dnnl_status_t wmk_pd_conv_backward_data(wmk_pd *pd, dnnl_engine_t engine, dnnl_alg_kind_t alg, wmk_md diff_src, wmk_md weights,
                                                      wmk_md diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t low,
                                                      const dnnl_dims_t high, dnnl_primitive_attr_t attr, wmk_pd hint)
{
    dnnl_convolution_desc_t desc;
    const dnnl_status_t status =
        dnnl_dilated_convolution_backward_data_desc_init(&desc, alg, diff_src, weights, diff_dst, strides, dilates, low, high);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
}
static inline dnnl_status_t wmk_pd_conv_backward_weights(wmk_pd *pd, dnnl_engine_t engine, dnnl_alg_kind_t alg, wmk_md src, wmk_md diff_weights,
                                                         wmk_md diff_bias, wmk_md diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates,
                                                         const dnnl_dims_t low, const dnnl_dims_t high, dnnl_primitive_attr_t attr, wmk_pd hint)
{
    dnnl_convolution_desc_t desc;
    const dnnl_status_t status =
        dnnl_dilated_convolution_backward_weights_desc_init(&desc, alg, src, diff_weights, diff_bias, diff_dst, strides, dilates, low, high);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
}
static inline dnnl_status_t wmk_pd_norm_forward(wmk_pd *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, wmk_md data, float epsilon, unsigned flags,
                                                dnnl_primitive_attr_t attr)
{
    dnnl_batch_normalization_desc_t desc;
    const dnnl_status_t status = dnnl_batch_normalization_forward_desc_init(&desc, kind, data, epsilon, flags);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}
static inline dnnl_status_t wmk_pd_norm_backward(wmk_pd *pd, dnnl_engine_t engine, wmk_md diff, wmk_md data, float epsilon, unsigned flags,
                                                 dnnl_primitive_attr_t attr, wmk_pd hint)
{
    dnnl_batch_normalization_desc_t desc;
    const dnnl_status_t status = dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, diff, data, epsilon, flags);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
}
static inline dnnl_status_t wmk_pd_pool_forward(wmk_pd *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t alg, wmk_md src, wmk_md dst,
                                                const dnnl_dims_t strides, const dnnl_dims_t kernel, const dnnl_dims_t dilates, const dnnl_dims_t low,
                                                const dnnl_dims_t high, dnnl_primitive_attr_t attr)
{
    dnnl_pooling_v2_desc_t desc;
    const dnnl_status_t status = dnnl_pooling_v2_forward_desc_init(&desc, kind, alg, src, dst, strides, kernel, dilates, low, high);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}
static inline dnnl_status_t wmk_pd_pool_backward(wmk_pd *pd, dnnl_engine_t engine, dnnl_alg_kind_t alg, wmk_md diff_src, wmk_md diff_dst,
                                                 const dnnl_dims_t strides, const dnnl_dims_t kernel, const dnnl_dims_t dilates,
                                                 const dnnl_dims_t low, const dnnl_dims_t high, dnnl_primitive_attr_t attr, wmk_pd hint)
{
    dnnl_pooling_v2_desc_t desc;
    const dnnl_status_t status = dnnl_pooling_v2_backward_desc_init(&desc, alg, diff_src, diff_dst, strides, kernel, dilates, low, high);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
}
static inline dnnl_status_t wmk_pd_matmul(wmk_pd *pd, dnnl_engine_t engine, wmk_md src, wmk_md weights, wmk_md bias, wmk_md dst,
                                          dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t desc;
    const dnnl_status_t status = dnnl_matmul_desc_init(&desc, src, weights, bias, dst);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}
static inline dnnl_status_t wmk_post_ops_sum(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1.0F); }
#define WMK_NORM_BACKWARD_TAKES_SHIFT true
#endif

#endif
