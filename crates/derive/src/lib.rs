//! `#[derive(Config)]`: turns a plain struct into a table of properties and a parser over it.
//!
//! The expansion is deliberately dumb: one row per field. Everything that reads the rows
//! (reference docs, JSON schema, unknown-key warnings) is ordinary code in `flume_core::props`.
//!
//! `#[prop(flatten)]` on a field that derives `Config` itself takes in its rows: properties that several components
//! have in common are declared once.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Expr, Fields, LitStr, Token, parse::ParseStream};

/// `#[prop("sink.batchSize", default = 100, alias = "batch-size")]`
struct Prop {
    key: LitStr,
    default: Option<Expr>,
    aliases: Vec<LitStr>,
}

impl syn::parse::Parse for Prop {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut prop = Prop {
            key: input.parse()?,
            default: None,
            aliases: vec![],
        };
        while input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            if input.peek(Token![default]) {
                input.parse::<Token![default]>()?;
                input.parse::<Token![=]>()?;
                prop.default = Some(input.parse()?);
            } else {
                let name: syn::Ident = input.parse()?;
                if name != "alias" {
                    return Err(syn::Error::new(
                        name.span(),
                        "expected `default` or `alias`",
                    ));
                }
                input.parse::<Token![=]>()?;
                prop.aliases.push(input.parse()?);
            }
        }
        Ok(prop)
    }
}

/// Derives `flume_core::config::Config`.
#[proc_macro_derive(Config, attributes(prop))]
pub fn derive_config(input: TokenStream) -> TokenStream {
    expand(syn::parse_macro_input!(input))
        .unwrap_or_else(|e| e.into_compile_error())
        .into()
}

fn expand(input: DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new(input.ident.span(), "Config needs a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new(
            input.ident.span(),
            "Config needs named fields",
        ));
    };
    let mut rows = vec![];
    let mut reads = vec![];
    let mut names = vec![];
    for field in &fields.named {
        let name = &field.ident;
        let ty = &field.ty;
        let attr = field.attrs.iter().find(|a| a.path().is_ident("prop"));
        let attr =
            attr.ok_or_else(|| syn::Error::new_spanned(field, "missing #[prop(\"key\")]"))?;
        names.push(name);
        if attr
            .parse_args::<syn::Ident>()
            .is_ok_and(|word| word == "flatten")
        {
            rows.push(quote!(rows.extend(<#ty as ::flume_core::config::Config>::properties());));
            reads.push(quote!(let #name = <#ty as ::flume_core::config::Config>::parse(props);));
            continue;
        }
        let doc = doc_of(&field.attrs);
        if doc.is_empty() {
            return Err(syn::Error::new_spanned(
                field,
                "every property needs a doc comment",
            ));
        }
        let Prop {
            key,
            default,
            aliases,
        } = attr.parse_args()?;
        let default = default.map_or(quote!(None), |written| quote!(Some(&#written)));
        let row = quote!(::flume_core::config::Property::new::<#ty>(#key, &[#(#aliases),*], #doc, #default));
        rows.push(quote!(rows.push(#row);));
        reads.push(
            quote!(let #name = <#ty as ::flume_core::config::PropertyValue>::read(props, &#row);),
        );
    }
    let ident = &input.ident;
    let doc = doc_of(&input.attrs);
    Ok(quote! {
        #[automatically_derived]
        impl ::flume_core::config::Config for #ident {
            const DOC: &'static str = #doc;
            fn properties() -> Vec<::flume_core::config::Property> {
                let mut rows = vec![];
                #(#rows)*
                rows
            }
            fn parse(props: &mut ::flume_core::props::Props<'_>) -> Option<Self> {
                #(#reads)*
                Some(Self { #(#names: #names?),* })
            }
        }
    })
}

fn doc_of(attrs: &[Attribute]) -> String {
    let mut doc = String::new();
    for attr in attrs.iter().filter(|a| a.path().is_ident("doc")) {
        if let syn::Meta::NameValue(nv) = &attr.meta
            && let Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(s),
                ..
            }) = &nv.value
        {
            doc.push_str(s.value().trim());
            doc.push(' ');
        }
    }
    doc.trim_end().to_string()
}
